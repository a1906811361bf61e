// generate, inspect and summary after a run.
#include <gmock/gmock.h>

#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class ReportTest : public CommandTest {};

TEST_F(ReportTest, GenerateGoesOnFromThePrompt) {
  ASSERT_EQ(train().status, 0);
  const std::vector<std::string> call{"generate", "--run", "run", "--prompt", "line ", "--tokens", "12", "--log-level", "warn"};
  const Outcome text = run(call);
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, testing::StartsWith("line "));
  EXPECT_EQ(text.out.size(), 5U + 12U + 1U);
  EXPECT_EQ(text.err, "");
  EXPECT_EQ(run(call).out, text.out) << "the same seed gives the same text";
}

TEST_F(ReportTest, GenerateTakesTheLikeliestTokenAtTemperatureZero) {
  ASSERT_EQ(train().status, 0);
  const auto generate = [&](const char* seed) {
    return run({"generate", "--run", "run", "--prompt", "line ", "--tokens", "8", "--temperature", "0", "--seed", seed}).out;
  };
  EXPECT_EQ(generate("1"), generate("2"));
}

TEST_F(ReportTest, GenerateNeedsACommitAndAPrompt) {
  expect_one_error_line(run({"generate", "--run", "absent", "--prompt", "a"}), 4, "absent");
  expect_one_error_line(run({"generate", "--run", "absent", "--prompt", ""}), 2, "--prompt");
}

TEST_F(ReportTest, InspectShowsStepSlotsAndFiles) {
  ASSERT_EQ(train().status, 0);
  const Outcome json = run({"inspect", "run", "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  const Json description = Json::parse(json.out);
  EXPECT_EQ(description["step"], 6);
  EXPECT_EQ(description["run_id"].get<std::string>().size(), 16U);
  ASSERT_EQ(description["kinds"].size(), 3U);
  for (const Json& kind : description["kinds"]) {
    ASSERT_EQ(kind["files"].size(), 1U);
    EXPECT_EQ(kind["files"][0]["bytes"], kind["files"][0]["bytes_found"]);
    EXPECT_EQ(kind["objects"], 4);
  }
  const Outcome text = run({"inspect", "ssd"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("at step 6"));
  EXPECT_THAT(text.out, HasSubstr("weights.bin"));
}

TEST_F(ReportTest, InspectTellsAMissingFile) {
  ASSERT_EQ(train().status, 0);
  std::filesystem::remove(folder_ / "ssd/moment1.bin");
  EXPECT_THAT(run({"inspect", "run"}).out, HasSubstr("MISSING"));
}

TEST_F(ReportTest, InspectNeedsACommit) { expect_one_error_line(run({"inspect", "."}), 4, "manifest.json"); }

TEST_F(ReportTest, SummaryComparesTrafficWithTheFormulaAndMemoryWithTheBudgets) {
  ASSERT_EQ(train({"train.steps=12"}).status, 0);
  const Outcome json = run({"summary", "run", "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  const Json summary = Json::parse(json.out);
  EXPECT_EQ(summary["last_step"], 12);
  EXPECT_GT(summary["formula_ssd_read_bytes"], 0);
  EXPECT_EQ(summary["ssd_read_bytes"], summary["formula_ssd_read_bytes"]);
  EXPECT_EQ(summary["ssd_write_bytes"], summary["formula_ssd_write_bytes"]);
  EXPECT_EQ(summary["host_budget"], 64 << 20);
  EXPECT_GT(summary["rss_peak_bytes"], 0);
  const Outcome text = run({"summary", "run"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("1.000 x the formula's"));
}

TEST_F(ReportTest, SummaryNeedsMetrics) { expect_one_error_line(run({"summary", "absent"}), 5, "absent"); }

}  // namespace
}  // namespace gsnake::test
