// report and trace after a run.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "cli/command.h"
#include "page_data.h"
#include "small_machine.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class PageTest : public CommandTest {
 protected:
  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(PageTest, ReportWritesThePageIntoTheRun) {
  ASSERT_EQ(train({"run.trace=trace.json"}).status, 0);
  const Outcome outcome = run({"report", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "run/report.html\n");
  const std::string page = text_of("run/report.html");
  EXPECT_THAT(page, StartsWith("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("<section id=\"timeline\""));
  EXPECT_THAT(page, HasSubstr("<section id=\"loss\""));
}

TEST_F(PageTest, ReportWritesWhereItIsTold) {
  ASSERT_EQ(train().status, 0);
  EXPECT_EQ(run({"report", "run/metrics.jsonl", "--out", "page.html"}).out, "page.html\n");
  EXPECT_THAT(text_of("page.html"), StartsWith("<!doctype html>"));
  EXPECT_EQ(text_of("run/report.html"), "");
}

TEST_F(PageTest, ReportOfAPlanStandsBesideIt) {
  std::ofstream(folder_ / "plan.json") << R"({"what": "plan", "prediction": {"step_ms": 5.0}})";
  EXPECT_EQ(run({"report", "plan.json"}).out, "plan.html\n");
  EXPECT_THAT(text_of("plan.html"), StartsWith("<!doctype html>"));
}

TEST_F(PageTest, ReportNamesWhatItCannotUse) {
  std::ofstream(folder_ / "plan.json") << "{";
  expect_one_error_line(run({"report", "plan.json"}), 5, "cannot use plan.json: it is not valid JSON");
  expect_one_error_line(run({"report", "absent"}), 5, "cannot read absent");
}

TEST_F(PageTest, TraceNamesTheProcesses) {
  ASSERT_EQ(train({"run.trace=trace.json"}).status, 0);
  const Outcome outcome = run({"trace", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "run/trace_merged.json\n");
  EXPECT_EQ(Json::parse(text_of("run/trace_merged.json"))["traceEvents"][0]["args"]["name"], "measured");
}

// Predicted beside measured, of the same steps.
TEST_F(PageTest, TraceHasBothOfEachStep) {
  std::ofstream(folder_ / "machine.toml") << kSmallMachine;
  ASSERT_EQ(train({"run.trace=trace.json", "run.trace_steps=[3, 5]"}).status, 0);
  ASSERT_EQ(run({"trace", "run", "--machine", "machine.toml"}).status, 0);
  std::map<int, std::set<int>> steps;  // by process
  const Json merged = Json::parse(text_of("run/trace_merged.json"));
  for (const Json& event : merged["traceEvents"]) {
    if (event["ph"] == "X" && event["args"].contains("step") && event["args"]["step"] > 0) steps[event["pid"]].insert(event["args"]["step"].get<int>());
  }
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[2], (std::set<int>{3, 4, 5}));
  for (const int step : steps[2]) EXPECT_EQ(steps[1].count(step), 1U) << step;  // and parts of the one after them that began early
}

Json data_on(const std::string& page) { return Json::parse(data_text_on(page)); }

// Of a machine that somebody names all is predicted anew; on one that is not the run's nothing is.
TEST_F(PageTest, ReportPredictsOnTheMachineThatItIsTold) {
  std::ofstream(folder_ / "machine.toml") << kSmallMachine;
  ASSERT_EQ(train({}, {"--machine", "machine.toml"}).status, 0);
  const Json noted = metrics().front()["prediction"];
  const auto data = [&](const std::vector<std::string>& options) {
    std::vector<std::string> call{"report", "run"};
    call.insert(call.end(), options.begin(), options.end());
    EXPECT_EQ(run(call).status, 0);
    return data_on(text_of("run/report.html"));
  };
  const Json nothing_new = data({});
  EXPECT_EQ(nothing_new["prediction"]["step_ms"], noted["step_ms"]);
  EXPECT_TRUE(nothing_new["timeline"].is_null());
  EXPECT_FALSE(nothing_new["notes"].empty()) << "why";
  std::string faster = kSmallMachine;
  faster.replace(faster.find("60 MB/s"), 7, "90 MB/s");
  std::ofstream(folder_ / "faster.toml") << faster;
  const Json named = data({"--machine", "faster.toml"});
  EXPECT_LT(named["prediction"]["step_ms"], noted["step_ms"]);
  EXPECT_FALSE(named["timeline"]["tracks"].empty());
  EXPECT_GE(named["document"]["batches"].size(), 4U) << "the roofline";
}

// As of one of its ranks.
TEST_F(PageTest, ReportOfSeveralRanksPredictsSeveral) {
  std::ofstream(folder_ / "machine.toml") << kSmallMachine << "[link]\nper_second = \"1 GB/s\"\n";
  ASSERT_EQ(train().status, 0);
  const auto ranks_told = [&](const std::string& count) {
    std::string lines = text_of("run/metrics.jsonl");
    const std::string own = "\"ranks\":{\"count\":1,\"local_count\":1}";
    EXPECT_NE(lines.find(own), std::string::npos);
    lines.replace(lines.find(own), own.size(), "\"ranks\":" + count);
    std::ofstream(folder_ / "other.jsonl") << lines;
    EXPECT_EQ(run({"report", "other.jsonl", "--machine", "machine.toml", "--out", "page.html"}).status, 0);
    return data_on(text_of("page.html"))["prediction"]["ranks"];
  };
  EXPECT_EQ(ranks_told("{\"count\":2,\"local_count\":2}"), 2);
  EXPECT_EQ(ranks_told("{\"count\":1,\"local_count\":7}"), 1);
  EXPECT_EQ(ranks_told("{\"count\":-4294967295,\"local_count\":\"x\"}"), 1);
  EXPECT_EQ(ranks_told("null"), 1);
}

TEST_F(PageTest, TraceNeedsATrace) {
  ASSERT_EQ(train().status, 0);
  expect_one_error_line(run({"trace", "run"}), 5, "run.trace is empty");
  expect_one_error_line(run({"trace", "absent"}), 5, "absent/metrics.jsonl");
}

}  // namespace
}  // namespace gsnake::test
