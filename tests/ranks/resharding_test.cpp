// A run goes on with another number of ranks, and is read by one process.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "cli/files.h"
#include "ranks/ranks_case.h"
#include "sweep.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class Resharding : public RanksTest {
 protected:
  std::vector<double> go_on(int count, const std::string& run, int steps) { return losses_of(count, run, {"train.steps=" + std::to_string(steps)}); }
};

TEST_F(Resharding, FourTwoThreeAndOneRankGoOnWithOneRun) {
  const std::vector<double> alone = losses_of(1, "alone", {"train.steps=20"});
  std::vector<std::vector<double>> sequences;
  for (const std::string run : {"first", "second"}) {
    go_on(4, run, 5);
    go_on(2, run, 10);
    go_on(3, run, 15);
    sequences.push_back(go_on(1, run, 20));
    EXPECT_FALSE(std::filesystem::exists(folder_ / (run + "-ssd") / "rank-0")) << "shares of runs that are over take space";
  }
  EXPECT_EQ(sequences[0], sequences[1]);
  expect_close(sequences[0], alone, 1e-6);
}

TEST_F(Resharding, OneRanksRunIsSharedOut) {
  const std::vector<double> alone = losses_of(1, "alone", {"train.steps=12"});
  go_on(1, "run", 6);
  expect_close(go_on(3, "run", 12), alone, 1e-6);
}

// A run whose run.dir is gone is another's for all that the ranks know: it stays.
TEST_F(Resharding, WhatMayBeAnotherRunsIsNotRemoved) {
  go_on(2, "run", 4);
  std::filesystem::remove_all(folder_ / "run");
  for (const int count : {3, 2}) {
    const std::vector<Outcome> outcomes = train_on(count, in_folders("run"));
    for (const Outcome& outcome : outcomes) EXPECT_THAT(outcome.status, testing::AnyOf(2, 4, 8)) << outcome.err;
    EXPECT_TRUE(std::filesystem::exists(folder_ / "run-ssd" / "rank-1" / "of-2" / "gsnake-weights.bin"));
  }
  const std::vector<double> whole = losses_of(2, "whole", {"train.steps=6"});
  std::vector<std::string> changes = in_folders("run");
  changes.push_back("train.steps=6");
  expect_all(train_on(2, changes, {"--resume", "must"}), 0);
  ASSERT_FALSE(losses("run").empty());
  EXPECT_EQ(losses("run").back(), whole.back());
}

// Each rank has a drive of its own, and other numbers of ranks other drives.
TEST_F(Resharding, DrivesOfTheRanksOwnAreFound) {
  const std::vector<double> whole = losses_of(1, "whole", {"train.steps=8"});
  const std::vector<std::string> own{"run.dir=run", "ssd.paths=nvme{local_rank}"};
  int steps = 2;
  for (const int count : {1, 2, 3, 1}) {
    std::vector<std::string> changes = own;
    changes.push_back("train.steps=" + std::to_string(steps));
    expect_all(train_on(count, changes), 0);
    steps += 2;
  }
  expect_close(losses("run"), whole, 1e-6);
}

// Whatever is killed while shares are made anew, what was there before goes on.
TEST_F(Resharding, SurvivesKills) {
  go_on(2, "whole", 4);
  const std::vector<double> whole = go_on(3, "whole", 8);
  go_on(2, "run", 4);
  std::mt19937 random(3);
  for (int round = 0; round < sweep(5, 40); ++round) {
    const int count = round % 2 == 0 ? 3 : 4;
    const auto processes = start(count, [&] {
      std::vector<std::string> changes = in_folders("run");
      changes.push_back("train.steps=4");  // there is nothing to train
      return changes;
    }());
    std::this_thread::sleep_for(std::chrono::milliseconds(200 + random() % 700));
    for (int rank = 0; rank < count; ++rank) (*processes)[rank].signal(SIGKILL);
    processes->wait();
  }
  const std::vector<double> losses = go_on(3, "run", 8);
  expect_close(losses, whole, 1e-6);
}

TEST_F(Resharding, ASnapshotOfRanksIsGoneBackTo) {
  const std::vector<double> whole = losses_of(2, "whole", {"train.steps=12"});
  std::vector<std::string> changes = in_folders("run");
  changes.insert(changes.end(), {"run.snapshot_every=4", "train.steps=10"});
  expect_all(train_on(2, changes), 0);
  changes.back() = "train.steps=12";
  expect_all(train_on(2, changes, {"--resume-from", "4"}), 0);
  EXPECT_EQ(losses("run"), whole);
}

TEST_F(Resharding, WithoutDurableStepsTheEndIsCommitted) {
  const std::vector<double> whole = losses_of(2, "whole", {"train.steps=8"});
  const std::vector<std::string> bare{"run.durability=off"};
  std::vector<std::string> first = bare;
  first.push_back("train.steps=4");
  std::vector<std::string> second = bare;
  second.push_back("train.steps=8");
  losses_of(2, "run", first);
  EXPECT_EQ(losses_of(2, "run", second), whole);
}

// Each rank reads its own part of what is imported, and of a base that they share.
TEST_F(Resharding, ImportsAndBasesAreReadByParts) {
  losses_of(1, "origin", {"train.steps=4"});
  ASSERT_EQ(run({"export", "--run", "origin", "--to", "hf"}).status, 0);
  const std::vector<std::string> imported{"model.from=hf", "train.steps=5"};
  expect_close(losses_of(3, "imported-3", imported), losses_of(1, "imported-1", imported), 1e-6);
  ASSERT_EQ(run({"quantize", "--from", "hf", "--to", "base", "--format", "nf4"}).status, 0);
  // The planner's choices, which are rank 0's, leave out nothing.
  std::vector<std::string> chosen = imported;
  ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);  // the machine is measured for it, and other tests expect none that was
  chosen.insert(chosen.end(), {"memory.host_budget=auto", "train.delay=0.5"});
  expect_close(losses_of(2, "chosen-2", chosen), losses("imported-1"), 1e-6);
  const std::vector<std::string> adapted{"adapter.base=base", "adapter.rank=4", "model.from=hf", "train.steps=5"};
  expect_close(losses_of(2, "adapted-2", adapted), losses_of(1, "adapted-1", adapted), 1e-6);
  const auto read = [&](const std::string& name) { return metrics(name).at(3)["ssd_read_bytes"].get<double>(); };
  EXPECT_NEAR(read("adapted-2"), read("adapted-1"), 0.1 * read("adapted-1"));
}

TEST_F(Resharding, ARunOfRanksIsReadAsOne) {
  const std::vector<std::string> more{"train.steps=6"};
  losses_of(1, "alone", more);
  losses_of(3, "three", more);
  const Outcome inspected = run({"inspect", "three", "--verify"});
  EXPECT_EQ(inspected.status, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("3 ranks"));
  for (const std::string name : {"alone", "three"}) {
    const Outcome exported = run({"export", "--run", name, "--to", name + "-hf"});
    EXPECT_EQ(exported.status, 0) << exported.err;
  }
  EXPECT_EQ(std::filesystem::file_size(folder_ / "three-hf" / "model.safetensors"), std::filesystem::file_size(folder_ / "alone-hf" / "model.safetensors"));
  const auto sampled = [&](const std::string& name) {
    const Outcome outcome = run({"generate", "--run", name, "--prompt", "line ", "--tokens", "12", "--temperature", "0"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  };
  EXPECT_EQ(sampled("three"), sampled("alone"));
}

}  // namespace
}  // namespace gsnake::test
