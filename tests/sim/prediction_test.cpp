// What a prediction says of rounds of commits, and which steps its timeline shows.
#include "sim/prediction.h"

#include <gtest/gtest.h>

#include <set>

#include "schedule/support.h"

namespace gsnake::sim {
namespace {

using namespace schedule;

// All state in host memory, so that steps themselves write little and commits much.
Problem problem_that_commits() {
  Problem problem = schedule::test::mixed_problem(ScheduleKind::vertical, 4, 3);
  problem.weights = problem.optimizer = {0.0, 1.0};
  problem.delay = 0.0;
  problem.commits = true;
  return problem;
}

Machine machine() {
  std::array<double, kLaneCount> rates{};
  rates.fill(1e8);
  return machine_of(rates);
}

struct Commits : testing::Test {
  const Program program = [] {
    const Problem problem = problem_that_commits();
    return build_program(problem, minimum_pools(problem));
  }();
  [[nodiscard]] Prediction of(int every, std::size_t walked = 200'000) const {
    PredictionOptions options;
    options.commit_every = every;
    options.tasks_walked = walked;
    return predict(program, machine(), options);
  }
};

TEST_F(Commits, AreCountedByTheirPartInARound) {
  const double each = static_cast<double>(of(1).ssd_write_bytes);
  const double none = static_cast<double>(of(1'000'000'000).ssd_write_bytes);
  ASSERT_GT(each, none + 1e4);
  for (const int every : {2, 5, 16, 17, 40, 1000}) {  // more than 16 steady steps are never walked through
    EXPECT_NEAR(static_cast<double>(of(every).ssd_write_bytes), none + (each - none) / every, 2.0) << every;
  }
}

// Of graphs with more tasks fewer steps are walked through.
TEST_F(Commits, CountAsMuchWhereFewStepsAreWalkedThrough) {
  for (const int every : {3, 5, 8}) {
    const Prediction whole = of(every);
    const Prediction few = of(every, 1);
    EXPECT_NEAR(static_cast<double>(few.ssd_write_bytes), static_cast<double>(whole.ssd_write_bytes), 2.0) << every;
    EXPECT_GE(few.step(), whole.step() * 0.9);
    EXPECT_LE(few.step(), whole.step() * 1.1);
    double sum = 0.0;
    double before = few.step();
    for (const PathPart& part : few.critical_path) {
      sum += part.seconds;
      EXPECT_LE(part.seconds, before) << "longest first";
      before = part.seconds;
    }
    EXPECT_NEAR(sum, few.step(), 1e-6 * few.step());
  }
}

// Drives that are slow have something in hand whenever a commit comes; with nothing in hand a commit takes what it takes alone.
TEST_F(Commits, WaitOpByOpForWhatTheDrivesHaveInHand) {
  const auto busy = [&](double drive, int waits) {
    Machine slow = machine();
    for (const Lane lane : {Lane::ssd_read, Lane::ssd_write}) slow.rates[static_cast<std::size_t>(lane)] = drive;
    slow = machine_of(slow.rates);
    slow.commit_seconds = 1e-3;
    slow.commit_waits = waits;
    PredictionOptions options;
    options.commit_every = 1;
    return predict(program, slow, options).lanes[static_cast<std::size_t>(Lane::commit)].busy;
  };
  const double fast = 1e15;
  EXPECT_NEAR(busy(fast, 0), 1e-3, 1e-6);
  EXPECT_NEAR(busy(fast, 4), 1e-3, 1e-6);
  EXPECT_NEAR(busy(1e6, 0), 1e-3, 1e-6);
  EXPECT_GT(busy(1e6, 1), 1e-3 + 1e-4);
  EXPECT_GT(busy(1e6, 4), busy(1e6, 1));
}

std::set<std::int64_t> steps_of(const Prediction& prediction) {
  std::set<std::int64_t> steps;
  for (const TimelineTask& task : prediction.timeline) steps.insert(task.step);
  return steps;
}

TEST_F(Commits, AreWhereTheTracedStepsHaveThem) {
  PredictionOptions options;
  options.commit_every = 4;
  options.timeline = true;
  const auto commits_of = [](const Prediction& prediction) {
    std::set<std::int64_t> steps;
    for (const TimelineTask& task : prediction.timeline) {
      if (task.lane == Lane::commit) steps.insert(task.step);
    }
    return steps;
  };
  for (const std::int64_t first : {2, 20, 21, 101, 1003}) {
    for (const std::int64_t count : {1, 5, 16, 40}) {
      SCOPED_TRACE(std::to_string(count) + " steps from " + std::to_string(first));
      options.traced = {first, first + count - 1};
      const Prediction prediction = predict(program, machine(), options);
      const std::set<std::int64_t> steps = steps_of(prediction);
      EXPECT_EQ(*steps.begin(), first);
      EXPECT_EQ(*steps.rbegin(), first + static_cast<std::int64_t>(steps.size()) - 1);
      EXPECT_GE(static_cast<std::int64_t>(steps.size()), std::min<std::int64_t>(count, 13));  // of 16 steady steps, up to 3 go by before the first
      EXPECT_LE(static_cast<std::int64_t>(steps.size()), count);
      std::set<std::int64_t> committed;
      for (const std::int64_t step : steps) {
        if (step % 4 == 0) committed.insert(step);
      }
      EXPECT_EQ(commits_of(prediction), committed);
    }
  }
}

TEST_F(Commits, TimelinesOfNoRunShowTwoSteadySteps) {
  PredictionOptions options;
  options.timeline = true;
  EXPECT_EQ(steps_of(predict(program, machine(), options)).size(), 2U);
}

}  // namespace
}  // namespace gsnake::sim
