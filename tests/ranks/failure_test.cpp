// A rank that dies, hangs or fails ends the others within seconds, with its number and why; the last commit is whole.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "cli/files.h"
#include "ranks/ranks_case.h"
#include "sweep.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class RankFailure : public RanksTest {
 protected:
  // More steps than go by between kills.
  static std::string steps() { return "train.steps=" + std::to_string(sweep(40, 300)); }
  static std::vector<std::string> long_run() { return {steps(), "run.dir=run", "ssd.paths=run-ssd", "ranks.timeout=\"6 s\""}; }
};

TEST_F(RankFailure, ARankKilledAtRandomInstantsEndsTheOthersAndLosesNothing) {
  losses_of(3, "whole", {steps()});
  std::mt19937 random(7);
  bool resumed = false;
  std::size_t killed_first = 0;
  for (int round = 0; round < sweep(6, 20); ++round) {
    SCOPED_TRACE(round);
    const auto processes = start(3, long_run());
    const int victim = static_cast<int>(random() % 3);
    // Most of the time while steps run, now and then while the ranks are opened.
    if (round % 4 != 3) wait_for_steps((*processes)[0], losses("run").size() + 1);
    if (HasFatalFailure()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 400));
    (*processes)[victim].signal(SIGKILL);
    killed_first += victim == 0 ? 1 : 0;
    const std::vector<Outcome> outcomes = processes->wait();
    EXPECT_EQ(outcomes[static_cast<std::size_t>(victim)].status, 128 + SIGKILL);
    expect_others_ended(outcomes, victim, "rank " + std::to_string(victim));
    resumed = resumed || losses("run").size() > 3;
  }
  EXPECT_TRUE(resumed);
  losses_of(3, "run", {steps()});
  const std::map<std::int64_t, double> whole = losses_by_step("whole");
  std::size_t told = 0;
  for (const auto& [step, loss] : losses_by_step("run")) {
    EXPECT_EQ(loss, whole.at(step)) << "step " << step;
    ++told;
  }
  EXPECT_LE(whole.size() - told, killed_first) << "rank 0 may be killed between a step's commit and its line of the metrics, and never else is one missing";
  for (const char* run : {"run", "whole"}) ASSERT_EQ(this->run({"export", "--run", run, "--to", std::string("hf-") + run, "--dtype", "fp32"}).status, 0);
  EXPECT_EQ(bytes_of(folder_ / "hf-run" / "model.safetensors"), bytes_of(folder_ / "hf-whole" / "model.safetensors"));
}

TEST_F(RankFailure, ARankThatIsStoppedForGoodEndsTheOthers) {
  for (const int victim : {0, 1}) {
    SCOPED_TRACE(victim);
    std::vector<std::string> changes = long_run();
    changes.push_back("ranks.timeout=\"2 s\"");
    const auto processes = start(2, changes);
    wait_for_steps((*processes)[0], losses("run").size() + 2);
    (*processes)[victim].signal(SIGSTOP);
    const Outcome other = (*processes)[1 - victim].wait();
    EXPECT_EQ(other.status, 8) << other.err;
    EXPECT_THAT(other.err, HasSubstr("rank " + std::to_string(victim)));
    (*processes)[victim].signal(SIGKILL);
    (*processes)[victim].wait();
  }
}

TEST_F(RankFailure, AFullDiskOfOneRankIsToldByAll) {
  for (const int victim : {0, 2}) {
    SCOPED_TRACE(victim);
    RankProcesses::Own own;
    own.surroundings.environment = {std::string("LD_PRELOAD=") + GSNAKE_FAULT_SHIM, "GSNAKE_FAULTS=pwrite,gsnake-moment1.bin,20+,28"};
    std::vector<std::string> changes = long_run();
    changes.push_back("ssd.engine=threads");
    const std::vector<Outcome> outcomes = train_on(3, changes, {}, {{victim, own}});
    EXPECT_EQ(outcomes[static_cast<std::size_t>(victim)].status, 4) << outcomes[static_cast<std::size_t>(victim)].err;
    expect_others_ended(outcomes, victim, "rank " + std::to_string(victim) + " failed: ");
    expect_others_ended(outcomes, victim, "No space left on device");
  }
}

// All find it, and none takes another's end for a failure.
TEST_F(RankFailure, ALossThatIsNotFiniteEndsAllAlike) {
  const std::vector<Outcome> outcomes = train_on(3, {"optimizer.learning_rate=1e30", "optimizer.name=sgd", "run.dir=run", "ssd.paths=run-ssd"});
  expect_all(outcomes, 6);
  for (const Outcome& outcome : outcomes) EXPECT_THAT(outcome.err, HasSubstr("not finite"));
}

TEST_F(RankFailure, ARankThatNeverComesIsNamed) {
  const auto processes = start(3, {"ranks.timeout=\"2 s\""});
  (*processes)[1].signal(SIGKILL);
  const std::vector<Outcome> outcomes = processes->wait();
  expect_others_ended(outcomes, 1, "rank 1");
}

}  // namespace
}  // namespace gsnake::test
