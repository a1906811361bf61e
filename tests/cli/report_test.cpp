// generate, inspect and summary after a run.
#include <gmock/gmock.h>

#include <fstream>
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

TEST_F(ReportTest, InspectVerifiesTheStateAgainstItsChecksums) {
  ASSERT_EQ(train().status, 0);
  const Outcome json = run({"inspect", "run", "--verify", "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  EXPECT_EQ(json.err, "") << "progress is for terminals";
  const Json description = Json::parse(json.out);
  EXPECT_EQ(description["verified"], true);
  std::uint64_t state = 0;
  for (const Json& kind : description["kinds"]) state += kind["padded_bytes"].get<std::uint64_t>();
  EXPECT_EQ(description["verified_bytes"], state);
  EXPECT_GT(description["checksums"]["entries"], 0);
  const Outcome text = run({"inspect", "ssd", "--verify"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("every byte of "));
}

TEST_F(ReportTest, InspectNamesWhatTheDriveHasChanged) {
  ASSERT_EQ(train().status, 0);
  const Json before = Json::parse(run({"inspect", "run", "--json"}).out);
  const auto slot = before["slot"].get<std::uint64_t>();
  std::fstream file(folder_ / "ssd/gsnake-moment1.bin", std::ios::in | std::ios::out | std::ios::binary);
  for (const Json& kind : before["kinds"]) {
    if (kind["kind"] == "moment1") file.seekp(static_cast<std::streamoff>(slot * kind["padded_bytes"].get<std::uint64_t>() + 5));
  }
  file << "damage";
  file.close();
  EXPECT_EQ(run({"inspect", "run"}).status, 0) << "without --verify, the bytes are not looked at";
  expect_one_error_line(run({"inspect", "run", "--verify"}), 4, "of moment1 object 0");
}

TEST_F(ReportTest, InspectLooksAtARunInUseAndATrainerIsRefused) {
  const Process training(folder_, "training", train_arguments({"train.steps=100000", "run.commit_every=1"}, {}));
  wait_for_steps(training, 5);
  const Outcome shown = run({"inspect", "run"});
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("at step "));
  expect_one_error_line(train({}, {"--log-level", "warn"}), 4, "in use by process " + std::to_string(training.pid()));
}

TEST_F(ReportTest, InspectTellsAMissingFile) {
  ASSERT_EQ(train().status, 0);
  std::filesystem::remove(folder_ / "ssd/gsnake-moment1.bin");
  EXPECT_THAT(run({"inspect", "run"}).out, HasSubstr("MISSING"));
}

TEST_F(ReportTest, InspectNeedsACommit) { expect_one_error_line(run({"inspect", "."}), 4, "it holds no commit"); }

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
