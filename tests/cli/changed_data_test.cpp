// A resume with other data, or with the same data elsewhere; examples and masks that count nothing; a config that leaves the model to the run.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class ChangedDataTest : public CommandTest {
 protected:
  void put(const std::string& name, const std::string& content) const { std::ofstream(folder_ / name, std::ios::binary) << content; }
  [[nodiscard]] std::string corpus() const {
    std::ifstream file(folder_ / "corpus.txt", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Json without_events(const std::vector<Json>& lines) {
    Json steps = Json::array();
    for (const Json& line : lines) {
      if (!line.contains("event")) steps.push_back(line);
    }
    return steps;
  }
};

TEST_F(ChangedDataTest, AResumeComparesTheDataAndNotItsPath) {
  ASSERT_EQ(train({"train.steps=2"}).status, 0);
  // The same text elsewhere.
  fs::create_directory(folder_ / "moved");
  fs::copy(folder_ / "corpus.txt", folder_ / "moved/text.txt");
  const Outcome moved = train({"train.steps=3", "data.train=moved/text.txt"});
  EXPECT_EQ(moved.status, 0) << moved.err;
  // Another text under the same name, of the same length and of another.
  std::string other = corpus();
  other[other.size() / 2] ^= 1;
  put("corpus.txt", other);
  const Outcome changed = train({"train.steps=4"});
  EXPECT_EQ(changed.status, 2);
  EXPECT_THAT(changed.err, AllOf(HasSubstr("data.train is other data than when the run was made"), HasSubstr((folder_ / "corpus.txt").string()),
                                 HasSubstr("--allow-change data.train")));
  put("corpus.txt", corpus() + "more");
  EXPECT_EQ(train({"train.steps=4"}).status, 2);
  EXPECT_EQ(losses().size(), 3U);
  const Outcome allowed = train({"train.steps=4"}, {"--allow-change", "data.train"});
  EXPECT_EQ(allowed.status, 0) << allowed.err;
  // From now on that is the run's data.
  EXPECT_EQ(train({"train.steps=5"}).status, 0);
  EXPECT_EQ(train({"train.steps=6", "data.train=moved/text.txt"}).status, 2);
}

TEST_F(ChangedDataTest, WeightsAndDtypesStayPartOfTheMaths) {
  put("a.txt", corpus());
  const std::string files = "data.train=[{path=\"corpus.txt\", weight=0.5}, {path=\"a.txt\", weight=WEIGHT}]";
  const auto with = [&](const std::string& weight) { return std::string(files).replace(files.find("WEIGHT"), 6, weight); };
  ASSERT_EQ(train({"train.steps=1", with("0.5")}).status, 0);
  EXPECT_EQ(train({"train.steps=2", with("0.5")}).status, 0);
  const Outcome outcome = train({"train.steps=3", with("0.25")});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("data.train was"));
  // A dtype that says what was meant changes nothing, and rows of another length are no other data.
  put("ids.bin", std::string(2000, '\1'));
  const std::vector<std::string> ids{"model.vocab=300", "run.dir=ids", "ssd.paths=ids_ssd"};
  const auto on_ids = [&](std::vector<std::string> changes, const std::vector<std::string>& options = {}) {
    changes.insert(changes.end(), ids.begin(), ids.end());
    return train(changes, options);
  };
  ASSERT_EQ(on_ids({"train.steps=1", "data.train=ids.bin"}).status, 0);
  const Outcome spelt = on_ids({"train.steps=2", "data.train={path=\"ids.bin\", dtype=\"uint16\"}"});
  EXPECT_EQ(spelt.status, 0) << spelt.err;
  EXPECT_EQ(on_ids({"train.steps=3", "data.train={path=\"ids.bin\", dtype=\"uint8\"}"}).status, 2) << "other tokens";
  const Outcome shorter = on_ids({"train.steps=3", "data.train=ids.bin", "train.sequence_length=16"}, {"--allow-change", "train.sequence_length"});
  EXPECT_EQ(shorter.status, 0) << shorter.err;
}

TEST_F(ChangedDataTest, WhatCountsNothingHasNoLoss) {
  std::string line = "{\"tokens\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, -100]}\n";
  put("none.jsonl", line);
  put("some.jsonl", "{\"tokens\": [1, 2, 3, 4]}\n");
  const Outcome validated = train({"train.steps=2", "data.train=some.jsonl", "data.validation=none.jsonl", "train.validate_every=1"});
  ASSERT_EQ(validated.status, 0) << validated.err;
  EXPECT_THAT(validated.err, HasSubstr("the loss counts no token of the validation's"));
  for (const Json& step : without_events(metrics())) {
    EXPECT_TRUE(step["loss"].is_number());
    EXPECT_TRUE(step.contains("validation_loss") && step["validation_loss"].is_null());
    EXPECT_TRUE(step["validation_perplexity"].is_null());
  }
  const Outcome trained = train({"train.steps=2", "data.train=none.jsonl", "run.dir=other", "ssd.paths=other_ssd"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, AllOf(HasSubstr("the loss counts no token of it"), HasSubstr("loss none")));
  for (const Json& step : without_events(metrics("other"))) EXPECT_TRUE(step["loss"].is_null());
  EXPECT_EQ(run({"summary", "other"}).status, 0);
}

TEST_F(ChangedDataTest, PaddedExamplesGiveTheLossOfUnpaddedOnes) {
  put("plain.jsonl", "{\"tokens\": [5, 6, 7, 8, 9]}\n{\"tokens\": [3, 4]}\n");
  put("padded.jsonl",
      "{\"input_ids\": [0, 0, 5, 6, 7, 8, 9], \"attention_mask\": [0, 0, 1, 1, 1, 1, 1]}\n{\"input_ids\": [3, 4, 0], \"attention_mask\": [1, 1, 0]}\n");
  ASSERT_EQ(train({"train.steps=2", "data.train=plain.jsonl"}).status, 0);
  ASSERT_EQ(train({"train.steps=2", "data.train=padded.jsonl", "run.dir=other", "ssd.paths=other_ssd"}).status, 0);
  EXPECT_EQ(losses(), losses("other"));
}

TEST_F(ChangedDataTest, AConfigWithoutAModelTrainsTheRunsOwn) {
  ASSERT_EQ(train({"train.steps=2"}).status, 0);
  put("short.toml", R"(
data.train = ["corpus.txt"]
train = { steps = 3, micro_batches = 2, micro_batch_size = 2, sequence_length = 32, dtype = "fp32", delay = 0.5, compute_threads = 1 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
)");
  const Outcome outcome = run({"train", "short.toml"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(losses().size(), 3U);
  // Where the run directory's copy is torn, the SSD path's tells.
  std::ofstream(folder_ / "run/manifest.json") << "torn";
  fs::remove(folder_ / "run/manifest.previous.json");
  const Outcome torn = run({"train", "short.toml", "--set", "train.steps=4"});
  EXPECT_EQ(torn.status, 0) << torn.err;
  // What it states must be right.
  expect_one_error_line(run({"train", "short.toml", "--set", "model.layers=3"}), 2, "model.layers was 2");
}

TEST_F(ChangedDataTest, AnEmptyConfigSaysWhatIsMissing) {
  put("empty.toml", "");
  expect_one_error_line(run({"train", "empty.toml"}), 2, "data.train = []");
  expect_one_error_line(run({"train", "."}), 5, "Is a directory");
  expect_one_error_line(run({"train", "absent.toml"}), 5, "No such file");
}

TEST_F(ChangedDataTest, AFolderThatIsNotUtf8IsRefusedBeforeAnythingIsMade) {
  const std::vector<std::string> before = files();
  expect_one_error_line(train({"run.dir=caf\xe9"}), 2, "not UTF-8");
  expect_one_error_line(train({"ssd.paths=caf\xe9"}), 2, "not UTF-8");
  fs::create_directory(folder_ / "caf\xe9");
  fs::create_directory_symlink("caf\xe9", folder_ / "plain");
  const Outcome linked = train({"run.dir=plain/run", "ssd.paths=ssd"});
  EXPECT_EQ(linked.status, 2);
  EXPECT_THAT(linked.err, HasSubstr("not UTF-8"));
  fs::remove(folder_ / "plain");
  fs::remove(folder_ / "caf\xe9");
  EXPECT_EQ(files(), before);
}

}  // namespace
}  // namespace gsnake::test
