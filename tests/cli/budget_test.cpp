// What does not fit a budget is refused before it is tried, with what would fit.
#include <gmock/gmock.h>
#include <signal.h>

#include <map>
#include <sstream>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1ULL << 20;

class BudgetTest : public CommandTest {
 protected:
  // The base of a process with LibTorch, and so much on top.
  static void expect_resident_below(const Outcome& outcome, std::uint64_t bytes) {
#if !defined(__SANITIZE_ADDRESS__)
    EXPECT_LT(outcome.peak_bytes, 400 * kMiB + bytes);
#endif
  }

  Outcome refused(const std::vector<std::string>& changes) {
    const std::vector<std::string> before = files();
    const Outcome outcome = train(changes, {"--log-level", "warn"});
    EXPECT_EQ(outcome.status, 3) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("gsnake: error: "));
    EXPECT_EQ(files(), before);
    return outcome;
  }

  // A step of the config with one change more, in folders of its own.
  Outcome trained(std::vector<std::string> config, const std::vector<std::string>& change) {
    config.insert(config.end(), change.begin(), change.end());
    config.insert(config.end(), {"train.steps=1", "run.dir=fits", "ssd.paths=fits/ssd"});
    return train(config, {"--log-level", "warn", "--resume", "never", "--overwrite"});
  }

  // The keys below the table of a refusal, with their values.
  static std::map<std::string, std::string> alternatives(const Outcome& outcome) {
    std::map<std::string, std::string> found;
    std::istringstream lines(outcome.err.substr(std::min(outcome.err.find("each of these alone"), outcome.err.size())));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      std::string key;
      std::string equals;
      std::string value;
      if (words >> key >> equals >> value) found[key] = value;
    }
    return found;
  }

  // A key's value in the first line of a refusal.
  static std::string named_budget(const Outcome& outcome, const std::string& key) {
    const std::size_t at = outcome.err.find(key + " to at least ") + key.size() + 13;
    return key + "=" + outcome.err.substr(at, outcome.err.find_first_of(",\n", at) - at);
  }
};

// 64 x 1024 tokens a micro-batch of a GPT-2 of 768: units that take GiB, and minutes on a few cores.
const std::vector<std::string> kHuge{"model.hidden=768",          "model.heads=12",
                                     "model.vocab=50304",         "model.context=1024",
                                     "model.layers=12",           "train.micro_batches=8",
                                     "train.micro_batch_size=64", "train.sequence_length=1024",
                                     "memory.host_budget=1 GiB",  "memory.device_budget=512 MiB"};

TEST_F(BudgetTest, WhatCannotFitIsNotTriedAsAWhole) {
  const Outcome outcome = refused(kHuge);
  EXPECT_THAT(outcome.err, HasSubstr("device memory: "));
  EXPECT_THAT(outcome.err, HasSubstr("memory.device_budget to at least "));
  expect_resident_below(outcome, 600 * kMiB);
}

TEST_F(BudgetTest, TenMillionMicroBatchesAndTheMostLayersAreRefusedByTheirNumber) {
  const Outcome micro_batches = refused({"train.micro_batches=10000000"});
  EXPECT_THAT(micro_batches.err, HasSubstr("task graphs and tables"));
  expect_resident_below(micro_batches, 300 * kMiB);
  const Outcome layers = refused({"model.layers=65536"});
  EXPECT_THAT(layers.err, HasSubstr("task graphs and tables"));
  expect_resident_below(layers, 300 * kMiB);
}

// Units whose results fit and whose backward pass does not.
const std::vector<std::string> kTooManyRows{"model.hidden=256",
                                            "model.heads=8",
                                            "model.layers=1",
                                            "model.context=256",
                                            "train.micro_batches=1",
                                            "train.micro_batch_size=24",
                                            "train.sequence_length=256",
                                            "memory.device_budget=100 MiB",
                                            "memory.host_budget=256 MiB"};

TEST_F(BudgetTest, WhatADryRunShowsNotToFitEndsThereAndNamesWhatWouldFit) {
  const Outcome outcome = refused(kTooManyRows);
  EXPECT_THAT(outcome.err, HasSubstr("LibTorch's temporaries"));
  expect_resident_below(outcome, 220 * kMiB);
  const std::map<std::string, std::string> others = alternatives(outcome);
  ASSERT_TRUE(others.count("train.micro_batch_size")) << outcome.err;
  ASSERT_TRUE(others.count("train.sequence_length")) << outcome.err;
  std::vector<std::vector<std::string>> changes{{named_budget(outcome, "memory.device_budget")}};
  for (const auto& [key, value] : others) changes.push_back({key + "=" + value});
  for (const std::vector<std::string>& change : changes) {
    SCOPED_TRACE(change.front());
    const Outcome fits = trained(kTooManyRows, change);
    EXPECT_EQ(fits.status, 0) << fits.err;
  }
}

// It would be refused at its end.
TEST_F(BudgetTest, ASignalEndsADryRun) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    Process process(folder_, "stopped", train_arguments(kHuge, {"--log-level", "warn"}));
    ASSERT_NO_FATAL_FAILURE(process.wait_for_resident(300 * kMiB));  // of which the dry run has a part
    process.signal(number);
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.status, 128 + number) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  }
}

TEST_F(BudgetTest, GradientsThatWaitMayGoToSsdInsteadOfALargerBudget) {
  const std::vector<std::string> waiting{
      "model.hidden=256", "model.heads=8", "model.layers=4", "train.delay=1", "placement.gradients.host=1", "memory.host_budget=12 MiB"};
  const Outcome outcome = refused(waiting);
  EXPECT_THAT(outcome.err, HasSubstr("gradients that wait"));
  const std::map<std::string, std::string> others = alternatives(outcome);
  ASSERT_TRUE(others.count("placement.gradients.host")) << outcome.err;
  ASSERT_TRUE(others.count("train.delay")) << outcome.err;
  for (const char* key : {"placement.gradients.host", "train.delay"}) {
    EXPECT_EQ(trained(waiting, {std::string(key) + "=" + others.at(key)}).status, 0);
    EXPECT_EQ(trained(waiting, {std::string(key) + "=" + std::to_string(std::stod(others.at(key)) + 0.01)}).status, 3);
  }
}

}  // namespace
}  // namespace gsnake::test
