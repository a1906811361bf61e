// Runs whose state several ranks share: every command that reads a run reads them, from one process.
#include "cli/shared_run.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "cli/command.h"
#include "cli/files.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SharedRunTest : public CommandTest, public testing::WithParamInterface<const char*> {
 protected:
  void train_to(int steps) {
    const Outcome outcome = train({"train.steps=" + std::to_string(steps), std::string("train.dtype=") + GetParam(), "ssd.paths=[\"ssd\", \"other\"]"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  void share(int ranks) { share_among(folder_ / "run", {folder_ / "ssd", folder_ / "other"}, ranks); }
  std::string exported() {
    fs::remove_all(folder_ / "exported");
    const Outcome outcome = run({"export", "--run", "run", "--to", "exported", "--dtype", "fp32"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return bytes_of(folder_ / "exported/model.safetensors");
  }
  std::string generated() {
    const Outcome outcome = run({"generate", "--run", "run", "--prompt", "a", "--tokens", "8", "--seed", "3"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
  Json inspected(const std::vector<std::string>& more) {
    std::vector<std::string> words{"inspect", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json::object();
  }
};

TEST_P(SharedRunTest, IsExportedAndSampledAsTheWholeIs) {
  train_to(3);
  const std::string weights = exported();
  const std::string text = generated();
  for (const int ranks : {2, 3}) {
    share(ranks);
    EXPECT_FALSE(fs::exists(folder_ / "run/manifest.json"));
    EXPECT_EQ(exported(), weights) << ranks;
    EXPECT_EQ(generated(), text) << ranks;
  }
}

TEST_P(SharedRunTest, IsInspectedRankByRank) {
  train_to(3);
  const Json before = inspected({"run"});
  EXPECT_EQ(before["ranks"], 1);
  share(2);
  for (const char* folder : {"run", "ssd", "other/rank-1/of-2"}) {
    const Json whole = inspected({folder});
    EXPECT_EQ(whole["ranks"], 2) << folder;
    EXPECT_EQ(whole["step"], 3);
    ASSERT_EQ(whole["shares"].size(), 2U);
    EXPECT_EQ(whole["shares"][1]["run_dir"], (folder_ / "run/rank-1/of-2").string());
    EXPECT_EQ(whole["shares"][0]["ssd_paths"], (Json{(folder_ / "ssd/rank-0/of-2").string(), (folder_ / "other/rank-0/of-2").string()}));
    EXPECT_EQ(whole["space"], before["space"]) << "the ranks' shares are as much as the whole";
    std::uint64_t bytes = 0;
    for (const Json& share : whole["shares"]) {
      bytes += share["total_bytes"].get<std::uint64_t>();
      for (const Json& kind : share["kinds"]) {
        for (const Json& file : kind["files"]) EXPECT_EQ(file["bytes"], file["bytes_found"]) << file["file"];
      }
    }
    EXPECT_EQ(bytes, whole["space"]["total_bytes"]);
  }
  const Json verified = inspected({"run", "--verify"});
  EXPECT_EQ(verified["verified"], true);
  EXPECT_EQ(verified["shares"].size(), 2U);
  const std::string text = run({"inspect", "run"}).out;
  EXPECT_THAT(text, HasSubstr("run of 2 ranks at step 3"));
  EXPECT_THAT(text, HasSubstr("rank 1: "));
  // All of it: which slot stands where, and on which path, depends on the drives' measured rates.
  for (const char* path : {"ssd", "other"}) {
    const fs::path damaged = folder_ / path / "rank-1/of-2/gsnake-moment1.bin";
    const std::string garbage(fs::file_size(damaged), 'x');
    std::fstream(damaged, std::ios::in | std::ios::out | std::ios::binary).write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
  }
  expect_one_error_line(run({"inspect", "run", "--verify", "--json"}), 4, "rank-1/of-2/gsnake-moment1.bin");
}

TEST_P(SharedRunTest, OfWhichARankIsMissingIsRefusedByName) {
  train_to(2);
  share(2);
  for (const char* base : {"run", "ssd", "other"}) fs::remove_all(folder_ / base / "rank-1");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"inspect", "run"}, {"export", "--run", "run", "--to", "exported"}, {"generate", "--run", "run", "--prompt", "a"}}) {
    expect_one_error_line(run(words), 4, "the run of 2 ranks: nothing of rank 1 is in");
  }
}

TEST_P(SharedRunTest, IsFoundWhereItWasMoved) {
  train_to(2);
  share(2);
  const std::string weights = exported();
  fs::create_directory(folder_ / "there");
  for (const char* base : {"run", "ssd", "other"}) fs::rename(folder_ / base, folder_ / "there" / base);
  fs::rename(folder_ / "there/other", folder_ / "elsewhere");
  const Outcome outcome = run({"export", "--run", "there/run", "--ssd", "there/ssd", "elsewhere", "--to", "again", "--dtype", "fp32"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(bytes_of(folder_ / "again/model.safetensors"), weights);
}

// Its losses and bytes are those of a run that was never shared.
TEST_P(SharedRunTest, GoesOnOnOneRankAsIfNothingHadHappened) {
  train_to(6);
  const std::vector<double> undisturbed = losses();
  const std::string weights = exported();
  for (const char* base : {"run", "ssd", "other"}) fs::remove_all(folder_ / base);
  train_to(3);
  for (const int ranks : {2, 4, 1}) share(ranks);
  train_to(6);
  EXPECT_EQ(losses(), undisturbed);
  EXPECT_EQ(exported(), weights);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, SharedRunTest, testing::Values("\"fp32\"", "\"bf16\""), [](const auto& test) { return std::string(test.param).substr(1, 4); });

}  // namespace
}  // namespace gsnake::test
