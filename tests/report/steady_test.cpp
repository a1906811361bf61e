#include <gtest/gtest.h>

#include <cmath>

#include "report/metrics.h"

namespace gsnake::report {
namespace {

StepPoint step(std::int64_t number, double step_ms) {
  StepPoint point;
  point.step = number;
  point.step_ms = step_ms;
  point.predicted_ms = 90.0;
  point.ssd_write_bytes = 1e9;
  point.busy_ms = {{"compute", step_ms / 2}};
  return point;
}

TEST(Steady, LeavesOutFirstValidatedAndLastSteps) {
  std::vector<StepPoint> steps = {step(1, 900), step(2, 100), step(3, 700), step(4, 120), step(5, 800)};
  steps[0].first_of_process = true;
  steps[2].validation_loss = 2.0;
  const Steady steady = steady_of(steps);
  EXPECT_EQ(steady.steps, 2U);
  EXPECT_DOUBLE_EQ(steady.step_ms, 110.0);
  EXPECT_DOUBLE_EQ(steady.busy_share.at("compute"), 0.5);
  EXPECT_DOUBLE_EQ(steady.predicted_error_percent, ((90.0 / 100 - 1) + (90.0 / 120 - 1)) / 2 * 100);
  EXPECT_DOUBLE_EQ(steady.written_terabytes_a_day, 2e9 / 0.220 * 86400 / 1e12);
}

TEST(Steady, TakesWhatThereIs) {
  const Steady steady = steady_of({step(1, 100)});
  EXPECT_EQ(steady.steps, 1U);
  EXPECT_DOUBLE_EQ(steady.step_ms, 100.0);
  EXPECT_TRUE(std::isnan(steady.tokens_per_second));
}

TEST(Steady, OfNothingIsNothing) {
  const Steady steady = steady_of({});
  EXPECT_EQ(steady.steps, 0U);
  EXPECT_TRUE(std::isnan(steady.step_ms));
  EXPECT_TRUE(steady.busy_share.empty());
}

}  // namespace
}  // namespace gsnake::report
