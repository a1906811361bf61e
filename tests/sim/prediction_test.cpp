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
    for (const PathPart& part : few.critical_path) sum += part.seconds;
    EXPECT_NEAR(sum, few.step(), 1e-6 * few.step());
  }
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
  for (const std::int64_t first : {2, 20, 21, 1001}) {
    options.traced = {first, first + 4};
    const Prediction prediction = predict(program, machine(), options);
    EXPECT_EQ(steps_of(prediction), (std::set<std::int64_t>{first, first + 1, first + 2, first + 3, first + 4}));
    EXPECT_EQ(commits_of(prediction), first % 4 == 0 ? (std::set<std::int64_t>{first, first + 4}) : std::set<std::int64_t>{(first / 4 + 1) * 4}) << first;
  }
}

TEST_F(Commits, TimelinesOfNoRunShowTwoSteadySteps) {
  PredictionOptions options;
  options.timeline = true;
  EXPECT_EQ(steps_of(predict(program, machine(), options)).size(), 2U);
}

}  // namespace
}  // namespace gsnake::sim
