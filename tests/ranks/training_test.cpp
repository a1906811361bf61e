// Several ranks train as one does, whatever lies where and whatever happens on the way.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "ranks/ranks_case.h"
#include "small_machine.h"
#include "sweep.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class RankTraining : public RanksTest {};

const std::map<std::string, std::vector<std::string>>& families() {
  static const std::map<std::string, std::vector<std::string>> all{
      {"gpt2", {}},
      {"gpt2_tied_with_dropout", {"model.tie_embeddings=true", "model.dropout=0.1"}},
      {"llama", {"model.family=llama", "model.intermediate=96", "model.kv_heads=1"}},
      {"mistral", {"model.family=mistral", "model.intermediate=96", "model.sliding_window=8"}},
      {"qwen2", {"model.family=qwen2", "model.intermediate=96", "model.tie_embeddings=true"}},
      {"qwen3", {"model.family=qwen3", "model.intermediate=96", "model.head_dim=32"}},
  };
  return all;
}

std::vector<std::string> with(std::vector<std::string> changes, const std::vector<std::string>& more) {
  changes.insert(changes.end(), more.begin(), more.end());
  return changes;
}

class FamilyOnRanks : public RanksTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(Families, FamilyOnRanks, testing::Values("gpt2", "gpt2_tied_with_dropout", "llama", "mistral", "qwen2", "qwen3"), [](const auto& family) { return family.param; });

TEST_P(FamilyOnRanks, LosesAsOneRankDoes) {
  std::vector<std::string> changes = families().at(GetParam());
  changes.push_back("train.steps=" + std::to_string(sweep(8, 20)));
  const std::vector<double> alone = losses_of(1, "alone", changes);
  for (int count = 2; count <= 4; ++count) {
    SCOPED_TRACE(count);
    expect_close(losses_of(count, "of-" + std::to_string(count), changes), alone, 1e-6);
    if (!is_long_run() && count == 2) count = 3;  // 2 and 4
  }
}

// As `--save-machine` wrote it: with a key, and perhaps with a link.
TEST_F(RankTraining, TheLinkOfAMachineThatIsNamedIsTheFiles) {
  const std::string saved = "key = \"saved\"\n" + std::string(kSmallMachine);
  const auto told = [&](const std::string& run, const std::string& machine) {
    std::ofstream(folder_ / "machine.toml") << machine;
    const std::vector<Outcome> outcomes = train_on(2, with(in_folders(run), {"train.steps=2"}), {"--machine", "machine.toml"});
    expect_all(outcomes, 0);
    return outcomes[0].err;
  };
  EXPECT_THAT(told("measured", saved), HasSubstr("the link between ranks: "));
  EXPECT_THAT(told("named", saved + "[link]\nper_second = \"1 GB/s\"\n"), testing::Not(HasSubstr("the link between ranks: ")));
}

// The same bits for the same number of ranks, whatever is placed or delayed: with clipping, so that the norm of all ranks counts.
TEST_F(RankTraining, BitsDependOnNothingButTheNumberOfRanks) {
  for (const int count : {2, 3}) {
    SCOPED_TRACE(count);
    const std::string name = "of-" + std::to_string(count);
    const std::vector<std::string> clipped{"optimizer.gradient_clipping=0.5", "train.order=ascending", "train.delay=auto"};
    const std::vector<double> plain = losses_of(count, name, clipped);
    EXPECT_EQ(losses_of(count, name + "-delayed", with(clipped, {"train.delay=1"})), plain);
    EXPECT_EQ(losses_of(count, name + "-placed", with(clipped, {"placement.weights={device=0.3,host=0.4}", "placement.optimizer={host=1.0}", "placement.activations.host=1", "placement.gradients.host=1"})), plain);
    EXPECT_EQ(losses_of(count, name + "-speculative", with(clipped, {"optimizer.clipping_mode=speculative", "train.delay=0"})), plain);
    EXPECT_EQ(losses_of(count, name + "-bare", with(clipped, {"ssd.engine=threads", "run.commit_every=3"})), plain);
  }
}

// bf16 halves, fp16 with its loss scale: the step's fate is all ranks' together.
TEST_F(RankTraining, OtherFormatsLoseAboutAsOneRankDoes) {
  for (const char* dtype : {"bf16", "fp16"}) {
    SCOPED_TRACE(dtype);
    const std::vector<std::string> changes{std::string("train.dtype=") + dtype, "optimizer.gradient_clipping=1.0", "train.delay=auto"};
    const std::vector<double> alone = losses_of(1, std::string(dtype) + "-alone", changes);
    const std::vector<double> two = losses_of(2, std::string(dtype) + "-two", changes);
    expect_close(two, alone, 2e-3);
    EXPECT_EQ(losses_of(2, std::string(dtype) + "-again", with(changes, {"placement.optimizer={host=1.0}"})), two);
  }
}

TEST_F(RankTraining, ValidatesOverAllRanks) {
  const std::vector<std::string> changes{"data.validation_split=0.1", "train.validate_every=4", "train.validation_batches=1"};
  losses_of(1, "alone", changes);
  losses_of(3, "three", changes);
  const auto validations = [&](const std::string& run) {
    std::vector<double> all;
    for (const Json& line : metrics(run)) {
      if (line.contains("validation_loss") && !line.contains("event")) all.push_back(line["validation_loss"]);
    }
    return all;
  };
  ASSERT_EQ(validations("alone").size(), 2U);
  expect_close(validations("three"), validations("alone"), 1e-6);
}

TEST_F(RankTraining, StoresOneShareARankAndReportsForAll) {
  losses_of(1, "alone");
  losses_of(4, "four");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "four" / "rank-1" / "metrics.jsonl"));
  const auto bytes_in = [&](const std::filesystem::path& folder) {
    std::uintmax_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file() && entry.path().extension() == ".bin") bytes += entry.file_size();
    }
    return static_cast<double>(bytes);
  };
  const double alone = bytes_in(folder_ / "alone-ssd");
  double together = 0.0;
  for (int rank = 0; rank < 4; ++rank) {
    const double own = bytes_in(folder_ / "four-ssd" / ("rank-" + std::to_string(rank)));
    EXPECT_LT(own, 0.33 * alone) << "rank " << rank;
    together += own;
  }
  EXPECT_NEAR(together, alone, 0.05 * alone);
  // Reads and writes of all ranks, at rank 0's metrics; but for rounding delayed and eager parts to grains, those of one rank.
  const Json one = metrics("alone").at(5);
  const Json four = metrics("four").at(5);
  EXPECT_NEAR(four["ssd_read_bytes"].get<double>(), one["ssd_read_bytes"].get<double>(), 0.05 * one["ssd_read_bytes"].get<double>());
  EXPECT_NEAR(four["ssd_write_bytes"].get<double>(), one["ssd_write_bytes"].get<double>(), 0.05 * one["ssd_write_bytes"].get<double>());
  EXPECT_GT(four["lanes"]["collective"].get<double>(), 0.0);
  EXPECT_EQ(one["tokens"], four["tokens"]);
}

TEST_F(RankTraining, HostMemoryARankFallsWithTheirNumber) {
  const std::vector<std::string> in_memory{"placement.weights={host=1.0}", "placement.optimizer={host=1.0}", "placement.gradients.host=1", "train.steps=2"};
  losses_of(1, "alone", in_memory);
  losses_of(4, "four", in_memory);
  const auto kept = [&](const std::string& run) {
    double bytes = 0.0;
    for (const Json& item : metrics(run).front()["memory"]["host"]) {
      if (item["detail"] == "kept there by placement") bytes += item["bytes"].get<double>();
    }
    return bytes;
  };
  EXPECT_NEAR(kept("four"), kept("alone") / 4.0, 0.05 * kept("alone") / 4.0);
}

// What 32 more layers add to what a rank has resident, weights, moments and gradients in host memory: the process, its libraries and its slots are not in it.
TEST_F(RankTraining, WhatLayersAddToEachRanksResidentMemoryFallsWithTheirNumber) {
  const auto peaks = [&](int count, int layers) {
    const std::string run = std::to_string(count) + "-of-" + std::to_string(layers);
    const std::vector<Outcome> outcomes = train_on(count, with(in_folders(run), {"placement.weights={host=1.0}", "placement.optimizer={host=1.0}", "placement.gradients.host=1", "memory.host_budget=1 GiB", "model.hidden=256",
                                                                                "model.heads=4", "model.layers=" + std::to_string(layers), "train.steps=2"}));
    expect_all(outcomes, 0);
    std::vector<double> bytes;
    for (const Outcome& outcome : outcomes) bytes.push_back(static_cast<double>(outcome.peak_bytes));
    return bytes;
  };
  const double alone = peaks(1, 34)[0] - peaks(1, 2)[0];
  constexpr double kParameters = 32 * 12 * 256 * 256;
  EXPECT_GT(alone, kParameters * 12) << "else too little is there for this to show anything";
  for (const int count : {2, 4}) {
    const std::vector<double> few = peaks(count, 2);
    const std::vector<double> many = peaks(count, 34);
    for (int rank = 0; rank < count; ++rank) {
      const double share = alone / count;
      EXPECT_NEAR(many[static_cast<std::size_t>(rank)] - few[static_cast<std::size_t>(rank)], share, 0.05 * share) << "rank " << rank << " of " << count;
    }
  }
}

TEST_F(RankTraining, ADataFileOfTheRanksOwnPathsIsNamedByTheirPlace) {
  const std::vector<std::string> changes{"run.dir=run", "ssd.paths=nvme{local_rank}"};
  expect_all(train_on(2, changes), 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "nvme0" / "rank-0"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "nvme1" / "rank-1"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nvme0" / "rank-1"));
}

TEST_F(RankTraining, MicroBatchesThatRanksDoNotDivideAreRefusedByAll) {
  const std::vector<Outcome> outcomes = train_on(2, {"train.micro_batches=5"});
  expect_all(outcomes, 2);
  for (const Outcome& outcome : outcomes) EXPECT_THAT(outcome.err, HasSubstr("train.micro_batches = 5: 2 ranks take equal shares"));
  EXPECT_EQ(files(), (std::vector<std::string>{"config.toml", "corpus.txt"}));
}

TEST_F(RankTraining, RanksThatAreToldDifferentThingsAreRefusedByAll) {
  const std::vector<std::pair<std::string, std::string>> cases{{"train.seed=2", "train.seed: 1 and 2"}, {"optimizer.learning_rate=0.5", "optimizer.learning_rate"}, {"data.train=other.txt", "ranks 0 and 1"}};
  std::ofstream(folder_ / "other.txt") << std::string(20000, 'x');
  for (const auto& [change, message] : cases) {
    SCOPED_TRACE(change);
    const std::vector<Outcome> outcomes = train_on(2, {}, {}, {{1, {{"--set", change}, {}}}});
    expect_all(outcomes, 2);
    for (const Outcome& outcome : outcomes) EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  EXPECT_EQ(files(), (std::vector<std::string>{"config.toml", "corpus.txt", "other.txt"}));
}

TEST_F(RankTraining, OtherCommandsAreOneProcess) {
  losses_of(2, "run");
  const std::vector<Outcome> outcomes = RankProcesses(folder_, "export", 2, {"export", "--run", "run", "--to", "hf"}).wait();
  expect_all(outcomes, 2);
  EXPECT_THAT(outcomes[0].err, HasSubstr("gsnake export is one process"));
}

// Those that have nothing to refuse say whose refusal it was; nobody leaves anything behind.
TEST_F(RankTraining, OneRanksBudgetEndsAllBeforeAnythingIsMade) {
  const std::vector<Outcome> outcomes = train_on(3, {}, {}, {{1, {{"--set", "memory.host_budget=10 KiB"}, {}}}});
  EXPECT_EQ(outcomes[1].status, 3) << outcomes[1].err;
  expect_others_ended(outcomes, 1, "rank 1 failed: ");
  expect_others_ended(outcomes, 1, "memory.host_budget");
  EXPECT_EQ(files(), (std::vector<std::string>{"config.toml", "corpus.txt"}));
}

TEST_F(RankTraining, ASignalToOneRankStopsAllAfterTheSameStep) {
  const std::vector<double> whole = losses_of(2, "whole", {"train.steps=30"});
  const auto processes = start(2, with(in_folders("run"), {"train.steps=30"}));
  wait_for_steps((*processes)[0], 3);
  (*processes)[1].signal(SIGTERM);
  expect_all(processes->wait(), 143);
  const std::size_t stopped = losses("run").size();
  EXPECT_GE(stopped, 3U);
  EXPECT_EQ(losses_of(2, "run", {"train.steps=30"}), whole);
}

}  // namespace
}  // namespace gsnake::test
