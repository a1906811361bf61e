#include "report/timeline.h"

#include <gtest/gtest.h>

#include <numeric>

#include "sample.h"

namespace gsnake::report {
namespace {

using namespace test;

Task task(const char* lane, int row, std::int64_t step, double begin, double end, std::uint64_t bytes = 1) {
  return {lane, row, "task", step, begin, end, bytes};
}

TEST(ShiftMs, MatchesTheFirstCommonStepByItsComputeLane) {
  EXPECT_DOUBLE_EQ(shift_ms(traced_tasks(trace().dump()).value(), predicted_tasks(timeline(), "plan")), 3.0 - 110.0);
}

TEST(ShiftMs, MatchesTheFirstStepsWhereNoneIsCommon) {
  EXPECT_DOUBLE_EQ(shift_ms({task("compute", 0, 2, 7, 8)}, {task("compute", 0, 9, 1, 2), task("compute", 0, 10, 3, 4)}), 6.0);
}

TEST(ShiftMs, TakesAnyLaneWhereOneHasNoCompute) {
  EXPECT_DOUBLE_EQ(shift_ms({task("ssd_read", 0, 2, 7, 8), task("compute", 0, 2, 9, 10)}, {task("ssd_read", 0, 2, 1, 2)}), 6.0);
}

TEST(ShiftMs, IsNothingWhereThereIsNothingToMatch) {
  EXPECT_EQ(shift_ms({}, {task("compute", 0, 9, 1, 2)}), 0.0);
  EXPECT_EQ(shift_ms({task("compute", 0, 0, 5, 6)}, {task("compute", 0, 9, 1, 2)}), 0.0);
}

TEST(TracedTasks, AreNothingOfWhatIsNoTrace) {
  EXPECT_FALSE(traced_tasks("{"));
  EXPECT_FALSE(traced_tasks("[]"));
  EXPECT_FALSE(traced_tasks("{}"));
  EXPECT_FALSE(traced_tasks(R"({"traceEvents": 3})"));
  EXPECT_TRUE(traced_tasks(R"({"traceEvents": []})"));
}

TEST(TracedTasks, PassOverOtherEventsAndOddValues) {
  const auto tasks = traced_tasks(
      R"({"traceEvents": [3, {"ph":"X"}, {"ph":"M","cat":"compute"}, {"ph":"X","cat":"h2d","ts":-1,"dur":-5,"tid":-3,"args":[1]}]})");
  ASSERT_TRUE(tasks);
  ASSERT_EQ(tasks->size(), 1U);
  EXPECT_EQ((*tasks)[0].row, 0);
  EXPECT_EQ((*tasks)[0].begin_ms, (*tasks)[0].end_ms);
}

TEST(Thin, LeavesFewTasksAlone) {
  const Thinned thinned = thin({task("compute", 0, 1, 5, 6), task("compute", 0, 1, 0, 1)}, 2);
  EXPECT_EQ(thinned.resolution_ms, 0.0);
  ASSERT_EQ(thinned.tasks.size(), 2U);
  EXPECT_EQ(thinned.tasks[0].begin_ms, 5.0);
}

TEST(Thin, DrawsNeighboursAsOne) {
  Timeline tasks = {task("compute", 0, 1, 0, 400)};
  for (int i = 0; i < 50; ++i) tasks.push_back(task("ssd_read", 0, i < 25 ? 1 : 2, 500 + i, 500.5 + i, 10));
  tasks.push_back(task("ssd_read", 1, 2, 510, 511));
  const Thinned thinned = thin(tasks, 10);
  EXPECT_LE(thinned.tasks.size(), 10U);
  EXPECT_GT(thinned.resolution_ms, 0.0);
  // The long task stands as it was; all bytes are still there; nothing is joined over rows.
  EXPECT_EQ(thinned.tasks[0].name, "task");
  EXPECT_EQ(thinned.tasks[0].end_ms, 400.0);
  EXPECT_EQ(std::accumulate(thinned.tasks.begin(), thinned.tasks.end(), std::uint64_t{0},
                            [](std::uint64_t sum, const Task& each) { return sum + each.bytes; }),
            502U);
  EXPECT_EQ(thinned.tasks.back().row, 1);
  EXPECT_EQ(thinned.tasks.back().name, "task");
  for (const Task& each : thinned.tasks) {
    const bool of_both_steps = each.begin_ms < 525 && each.end_ms > 525.2;
    EXPECT_EQ(each.step == 0, of_both_steps) << each.begin_ms;
  }
}

TEST(Thin, EndsWhereThereAreMoreRowsThanRoom) {
  Timeline tasks;
  for (int row = 0; row < 20; ++row) {
    for (int i = 0; i < 3; ++i) tasks.push_back(task("ssd_read", row, 1, i, i + 0.5));
  }
  EXPECT_EQ(thin(tasks, 5).tasks.size(), 20U);
}

TEST(Thin, JoinedTasksAreNamedByTheirNumber) {
  const Thinned thinned = thin({task("compute", 0, 1, 0, 1, 3), task("compute", 0, 2, 1, 2, 4), task("compute", 0, 2, 2, 3, 5)}, 1);
  ASSERT_EQ(thinned.tasks.size(), 1U);
  EXPECT_EQ(thinned.tasks[0].name, "3 tasks");
  EXPECT_EQ(thinned.tasks[0].step, 0);
  EXPECT_EQ(thinned.tasks[0].bytes, 12U);
  EXPECT_EQ(thinned.tasks[0].end_ms, 3.0);
}

}  // namespace
}  // namespace gsnake::report
