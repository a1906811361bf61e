// A trainer's thread and its commits: whatever one does while the other is under way, no commit and no snapshot is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "slow_sync.h"
#include "sweep.h"
#include "toy_run.h"

namespace gsnake::checkpoint::test {
namespace {

std::vector<std::int64_t> snapshot_steps(const store::Store& store) {
  std::vector<std::int64_t> steps;
  for (const store::Snapshot& snapshot : store.snapshots()) steps.push_back(snapshot.training.at("step"));
  std::sort(steps.begin(), steps.end());
  return steps;
}

// The thread's own work between steps takes any time: so steps begin at any point of a commit.
TEST(CommitRace, OfStepsAtAnyTimeNeitherACommitNorASnapshotIsRemoved) {
  ToyRun run;
  { ToyTrainer(run).commit(); }
  std::mt19937 random(1);
  SlowSync sync;
  std::int64_t committed = 0;
  {
    ToyTrainer trainer(run, {.sync = &sync});
    for (std::int64_t i = gsnake::test::sweep(store::testing::trials(1500), 200'000); i > 0; --i) {
      trainer.step();
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 300);
      while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
      EXPECT_GE(trainer.durable().committed(), committed);
      committed = trainer.durable().committed();
      ASSERT_EQ(sync.commits_removed, 0) << "after step " << trainer.durable().started();
    }
    trainer.commit();
    committed = trainer.durable().committed();
  }
  EXPECT_EQ(run.expect_whole_commit(), committed);
  const auto store = store::Store::open_reader(run.storage());
  EXPECT_EQ(snapshot_steps(*store), (std::vector<std::int64_t>{committed / 3 * 3 - 3, committed / 3 * 3}));
  EXPECT_GT(sync.snapshots_replaced, 0);
}

// When commit() returns, nothing of the step is left to do: its snapshot is complete, though another thread has only just begun it.
TEST(CommitRace, ACommitWaitsForTheSnapshotOfAStepThatWasCommittedThisInstant) {
  ToyRun run;
  run.config.run.snapshot_every = 1;
  ToyTrainer trainer(run);
  for (int i = 0; i < store::testing::trials(500); ++i) {
    trainer.step();
    while (!trainer.durable().all_committed()) std::this_thread::yield();
    trainer.commit();
    const std::vector<std::int64_t> kept = snapshot_steps(trainer.store());
    ASSERT_EQ(kept.empty() ? -1 : kept.back(), trainer.durable().started());
  }
}

// What the thread does while a commit stands still at one of its points.
enum class Meanwhile { steps, commits, ends };

class SlowCommit : public ::testing::TestWithParam<std::tuple<Meanwhile, double>> {
 protected:
  // Some steps with the point somewhere among them. Whether it was reached.
  bool go_on(ToyRun& run, int call) {
    const Meanwhile meanwhile = std::get<0>(GetParam());
    std::int64_t seen = 0;
    {
      SlowPoint point;
      SlowSync sync(&point);
      Hooks hooks;
      hooks.sync = &sync;
      hooks.wrap_committer = [&](runtime::Committer& inner) { return std::make_unique<SlowCommitter>(inner, point); };
      ToyTrainer trainer(run, hooks);
      point.arm(call);
      for (int i = 0; i < kSteps; ++i) {
        if (trainer.in_flight() == 2) trainer.wait();
        trainer.submit();
        if (!point.reached()) continue;
        if (meanwhile == Meanwhile::steps) point.let_go();
        if (meanwhile != Meanwhile::steps) break;
      }
      const bool reached = point.reached();
      if (meanwhile == Meanwhile::commits) {
        trainer.commit();
        EXPECT_EQ(trainer.durable().committed(), trainer.durable().started());
        trainer.submit();  // whatever the commit lane has left to do
      }
      seen = trainer.durable().committed();
      EXPECT_EQ(sync.commits_removed, 0) << "at call " << call;
      if (!reached) return false;
    }
    EXPECT_GE(run.expect_whole_commit(), seen) << "at call " << call;
    return true;
  }

  static constexpr int kSteps = 5;  // with a snapshot among them
};

TEST_P(SlowCommit, LosesNothingAtAnyOfItsPoints) {
  ToyRun run(std::get<1>(GetParam()));
  { ToyTrainer(run).commit(); }
  // Every point, or every so many, other ones in each of these tests.
  const int stride = store::testing::call_stride();
  int call = (static_cast<int>(std::get<0>(GetParam())) + (std::get<1>(GetParam()) > 0.0 ? 1 : 0)) % stride;
  while (call < 400 && !HasFailure() && go_on(run, call)) call += stride;
  EXPECT_GT(call, 25) << "syncs, tables, manifests and names of several commits and a snapshot";
  EXPECT_LT(call, 400);
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Meanwhile, double>>& info) {
  const char* names[] = {"StepsGoOn", "TheTrainerCommits", "TheTrainerEnds"};
  return std::string(names[static_cast<std::size_t>(std::get<0>(info.param))]) + (std::get<1>(info.param) > 0.0 ? "Delayed" : "");
}
INSTANTIATE_TEST_SUITE_P(While, SlowCommit, ::testing::Combine(::testing::Values(Meanwhile::steps, Meanwhile::commits, Meanwhile::ends), ::testing::Values(0.0, 0.5)), name_of);

}  // namespace
}  // namespace gsnake::checkpoint::test
