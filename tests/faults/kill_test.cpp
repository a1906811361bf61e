// Promise 4: a run that is killed at any instant goes on from its last commit, and ends as one that nobody disturbed.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "faults/fault_case.h"

namespace gsnake::test {
namespace {

struct Shape {
  const char* name;
  std::vector<std::string> changes;
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{
      {"eager", {"train.delay=0"}},
      {"half_delayed_every_third_step", {"train.delay=0.5", "run.commit_every=3"}},
      {"delayed_and_spilled", {"train.delay=1"}},
      {"thirds", {"train.delay=0.25", "placement.weights.host=0.3", "placement.weights.device=0.3", "placement.optimizer.host=0.5", "placement.gradients.host=1"}},
      {"threads", {"train.delay=0.5", "ssd.engine=threads", "train.schedule=horizontal", "train.order=ascending"}},
  };
  return all;
}

// More in the soak target.
int kills() {
  const char* wanted = std::getenv("GSNAKE_KILLS");
  return wanted == nullptr ? 10 : std::max(1, std::atoi(wanted) / static_cast<int>(shapes().size()));
}

class KillTest : public FaultTest, public testing::WithParamInterface<Shape> {
 protected:
  // The arguments of a run that would never end.
  [[nodiscard]] std::vector<std::string> endless() const {
    std::vector<std::string> changes = GetParam().changes;
    changes.push_back("train.steps=1000000");
    return train_arguments(changes, {});
  }

  // No commit is lost, none is older than what the run said of itself.
  void check_commit() {
    const int step = committed_step();
    int reported = -1;
    for (const Json& line : metrics()) {
      if (line.is_object() && line.contains("committed_step")) reported = std::max(reported, line["committed_step"].get<int>());
    }
    EXPECT_GE(step, committed_);
    if (reported > 0) {
      EXPECT_GE(step, reported);
    }
    committed_ = std::max(committed_, step);
  }

  // Goes on for three steps, undisturbed, and compares with a run that was never killed.
  void expect_the_same_end() {
    std::vector<std::string> changes = GetParam().changes;
    changes.push_back("train.steps=" + std::to_string(std::max(0, committed_) + 3));
    const Outcome outcome = train(changes);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    train_undisturbed(changes);
    expect_as_undisturbed();
  }

  int committed_ = -1;
};

TEST_P(KillTest, AtRandomInstantsLosesNothingThatWasCommitted) {
  const std::uint64_t seed = 7 + std::hash<std::string>()(GetParam().name) % 1000;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int kill = 0; kill < kills() && !HasFailure(); ++kill) {
    Process process(folder_, "killed-" + std::to_string(kill), endless());
    // Half of them while it starts or resumes, half while it trains.
    const bool trains = kill % 2 == 1;
    if (trains) {
      // Two more than the last one did: so that even a kill that follows at once leaves a longer run than the kill before.
      ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, losses().size() + 2));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (trains ? 60'000 : 800'000)));
    process.signal(SIGKILL);
    const Outcome outcome = process.wait();
    ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
    check_commit();
  }
  EXPECT_GT(committed_, 0);
  expect_the_same_end();
}

// From preallocation over the first commits; then, when there is one, from the resume over the next ones.
TEST_P(KillTest, BeforeAnySystemCallThatMakesThingsDurableLosesNothing) {
  constexpr int kCalls = 14;
  constexpr int kStride = 7;  // an odd one: commits repeat the same calls
  const int offset = static_cast<int>(std::hash<std::string>()(GetParam().name) % kStride);
  for (int round = 0; round < 2 && !HasFailure(); ++round) {
    for (int call = 0; call < kCalls && !HasFailure(); ++call) {
      const std::string name = "killed-" + std::to_string(round) + "-" + std::to_string(call);
      Process process(folder_, name, endless(), among("any,," + std::to_string(kStride * call + offset) + ",kill"));
      const Outcome outcome = process.wait();
      ASSERT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
      check_commit();
    }
    if (round == 1) break;
    std::vector<std::string> some = GetParam().changes;
    some.push_back("train.steps=" + std::to_string(std::max(0, committed_) + 3));
    const Outcome outcome = train(some);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    check_commit();
  }
  EXPECT_GT(committed_, 0);
  expect_the_same_end();
}

INSTANTIATE_TEST_SUITE_P(Shapes, KillTest, testing::ValuesIn(shapes()), [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gsnake::test
