#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "greedysnake/error.h"
#include "report/input.h"
#include "sample.h"
#include "temporary_folder.h"

namespace gsnake::report {
namespace {

using namespace test;
using gsnake::test::TemporaryFolder;

Json resume(int step) {
  Json line = start_line();
  line["event"] = "resume";
  line["step"] = step;
  return line;
}

// What load() of `name` is refused with; empty where it is not.
std::string refusal(const std::string& path) {
  try {
    static_cast<void>(load(path));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("; "), std::string::npos) << "no remedy: " << error.what();
    return error.what();
  }
  return {};
}

TEST(LoadRun, ReadsStepsConfigAndTrace) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", lines({start_line(), step_line(1, 3.0), step_line(2, 2.5), {{"event", "end"}, {"step", 2}}}));
  folder.write("trace.json", trace().dump());
  const ReportInput input = load(folder.path());
  EXPECT_EQ(input.source, Source::run);
  EXPECT_EQ(input.config, config());
  ASSERT_EQ(input.metrics.steps.size(), 2U);
  EXPECT_EQ(input.metrics.steps[1].step, 2);
  EXPECT_EQ(input.metrics.steps[1].loss, 2.5);
  EXPECT_EQ(input.metrics.steps[1].predicted_ms, 99.0);
  EXPECT_EQ(input.metrics.steps[1].busy_ms.at("ssd_read"), 99.0);
  ASSERT_EQ(input.measured.size(), 3U);
  EXPECT_EQ(input.measured[0].lane, "ssd_read");
  EXPECT_EQ(input.measured[0].row, 1);
  EXPECT_EQ(input.measured[1].step, 6);
  EXPECT_DOUBLE_EQ(input.measured[1].end_ms, 83.0);
  EXPECT_EQ(input.measured[1].bytes, 2048U);
  EXPECT_TRUE(input.predicted.empty());
  EXPECT_TRUE(input.notes.empty());
}

TEST(LoadRun, TakesTheMetricsFileItself) {
  const TemporaryFolder folder;
  folder.write("other.jsonl", lines({start_line(), step_line(1, 3.0)}));
  folder.write("trace.json", trace().dump());
  const ReportInput input = load(folder / "other.jsonl");
  EXPECT_EQ(input.metrics.steps.size(), 1U);
  EXPECT_EQ(input.measured.size(), 3U);
}

TEST(LoadRun, RepeatedStepsReplaceEarlierOnes) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl",
               lines({start_line(), step_line(1, 3.0), step_line(2, 2.9), step_line(3, 2.8), resume(1), step_line(2, 2.0)}));
  const Metrics metrics = load(folder.path()).metrics;
  ASSERT_EQ(metrics.steps.size(), 2U);  // step 3 is gone: it was not committed
  EXPECT_EQ(metrics.steps[0].loss, 3.0);
  EXPECT_EQ(metrics.steps[1].loss, 2.0);
  EXPECT_TRUE(metrics.steps[1].first_of_process);
  EXPECT_EQ(metrics.resumes, 1U);
}

TEST(LoadRun, StepsAreReplacedWithoutAResumeLineToo) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", lines({start_line(), step_line(1, 3.0), step_line(2, 2.9), step_line(2, 2.0)}));
  const Metrics metrics = load(folder.path()).metrics;
  ASSERT_EQ(metrics.steps.size(), 2U);
  EXPECT_EQ(metrics.steps[1].loss, 2.0);
}

TEST(LoadRun, ALineThatWasCutIsPassedOverAndToldOf) {
  const TemporaryFolder folder;
  const std::string cut = step_line(2, 2.0).dump();
  folder.write("metrics.jsonl", lines({start_line(), step_line(1, 3.0)}) + cut.substr(0, cut.size() / 2));
  const ReportInput input = load(folder.path());
  EXPECT_EQ(input.metrics.steps.size(), 1U);
  EXPECT_EQ(input.metrics.unreadable_lines, 1U);
  ASSERT_EQ(input.notes.size(), 1U);
  EXPECT_NE(input.notes[0].find("could not be read"), std::string::npos);
}

TEST(LoadRun, ALossThatIsNullIsMissing) {
  const TemporaryFolder folder;
  Json lost = step_line(1, 0.0);
  lost["loss"] = nullptr;
  lost["skipped"] = true;
  folder.write("metrics.jsonl", lines({start_line(), lost}));
  const StepPoint point = load(folder.path()).metrics.steps.at(0);
  EXPECT_TRUE(std::isnan(point.loss));
  EXPECT_TRUE(point.loss_lost);
  EXPECT_TRUE(point.skipped);
}

TEST(LoadRun, ATraceThatIsMissingIsNoMatter) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", lines({start_line(), step_line(1, 3.0)}));
  const ReportInput input = load(folder.path());
  EXPECT_TRUE(input.measured.empty());
  EXPECT_TRUE(input.notes.empty());
}

TEST(LoadRun, ATraceThatIsTornIsToldOf) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", lines({start_line(), step_line(1, 3.0)}));
  folder.write("trace.json", trace().dump().substr(0, 100));
  const ReportInput input = load(folder.path());
  EXPECT_TRUE(input.measured.empty());
  ASSERT_EQ(input.notes.size(), 1U);
  EXPECT_NE(input.notes[0].find(folder / "trace.json"), std::string::npos);
}

TEST(LoadRun, APredictionOfTheStartLineIsTaken) {
  const TemporaryFolder folder;
  Json start = start_line();
  start["prediction"] = prediction();
  start["prediction"]["timeline"] = timeline();
  folder.write("metrics.jsonl", lines({start}));
  const ReportInput input = load(folder.path());
  EXPECT_EQ(input.prediction, prediction());
  EXPECT_EQ(input.predicted.size(), 4U);
}

TEST(LoadRun, RefusesAFolderWithoutARun) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(folder.path()).find("metrics.jsonl"), std::string::npos);
  folder.write("metrics.jsonl", lines({step_line(1, 3.0)}));
  EXPECT_NE(refusal(folder / "metrics.jsonl").find("no line of a run's start"), std::string::npos);
}

TEST(LoadRun, RefusesAStartLineWhoseConfigIsNone) {
  const TemporaryFolder folder;
  Json start = start_line();
  start["config"] = 3;
  folder.write("metrics.jsonl", lines({start}));
  EXPECT_NE(refusal(folder / "metrics.jsonl").find("config"), std::string::npos);
}

TEST(LoadPlan, ReadsPlansAndSimulations) {
  const TemporaryFolder folder;
  Json with_timeline = plan();
  with_timeline["prediction"]["timeline"] = timeline();
  folder.write("plan.json", with_timeline.dump());
  folder.write("simulation.json", simulation().dump());
  const ReportInput input = load(folder / "plan.json");
  EXPECT_EQ(input.source, Source::plan);
  EXPECT_EQ(input.name, "plan.json");
  EXPECT_EQ(input.prediction, prediction());
  EXPECT_EQ(input.predicted.size(), 4U);
  EXPECT_EQ(input.document["considered"], 120);
  EXPECT_EQ(load(folder / "simulation.json").source, Source::simulation);
}

TEST(LoadPlan, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(folder / "absent.json").find("No such file"), std::string::npos);
  const std::vector<std::pair<std::string, std::string>> cases = {{"{", "not valid JSON"},
                                                                  {"[]", "no object"},
                                                                  {"{}", "neither a plan"},
                                                                  {R"({"what":"plan"})", "no prediction"},
                                                                  {std::string(100000, '['), "not valid JSON"}};
  for (const auto& [text, reason] : cases) {
    folder.write("plan.json", text);
    EXPECT_NE(refusal(folder / "plan.json").find(reason), std::string::npos) << text.substr(0, 80);
  }
}

TEST(LoadPlan, RefusesValuesOfAnotherKindByTheirPlace) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> cases = {
      {"it.prediction.step_ms", [](Json& json) { json["prediction"]["step_ms"] = "fast"; }},
      {"it.prediction.lanes.compute.busy_ms", [](Json& json) { json["prediction"]["lanes"]["compute"]["busy_ms"] = Json::array(); }},
      {"it.prediction.memory_over_time.host", [](Json& json) { json["prediction"]["memory_over_time"]["host"][1] = {1.0}; }},
      {"it.batches[0].limits.compute", [](Json& json) { json["batches"][0]["limits"]["compute"] = true; }},
      {"it.buys[0]", [](Json& json) { json["buys"][0] = nullptr; }},
      {"it.buys is", [](Json& json) { json["buys"] = "nothing"; }},
      {"timeline[1].begin_ms", [](Json& json) { json["prediction"]["timeline"][1]["begin_ms"] = "soon"; }},
      {"timeline[2] lacks", [](Json& json) { json["prediction"]["timeline"][2].erase("end_ms"); }}};
  for (const auto& [place, spoil] : cases) {
    Json json = plan();
    json["prediction"]["timeline"] = timeline();
    folder.write("plan.json", json.dump());
    EXPECT_EQ(refusal(folder / "plan.json"), "");
    spoil(json);
    folder.write("plan.json", json.dump());
    EXPECT_NE(refusal(folder / "plan.json").find(place), std::string::npos) << place << ": " << refusal(folder / "plan.json");
  }
}

}  // namespace
}  // namespace gsnake::report
