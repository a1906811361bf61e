#include "run/pace_watch.h"

#include <gtest/gtest.h>

namespace gsnake::run {
namespace {

constexpr std::size_t kCompute = 0;
constexpr std::size_t kSsdRead = 3;

Prediction hundred_milliseconds() {
  Prediction prediction;
  prediction.machine = "a machine";
  prediction.step_ms = {150.0, 100.0};
  prediction.busy_ms[kCompute] = 90.0;
  prediction.limit_ms[kCompute] = 90.0;
  prediction.busy_ms[kSsdRead] = 40.0;
  prediction.limit_ms[kSsdRead] = 35.0;
  return prediction;
}

StepResult step_of(double ms, double read_ms) {
  StepResult result;
  result.step_ms = ms;
  result.predicted_ms = 100.0;
  result.lanes[kCompute] = 90.0;
  result.lanes[kSsdRead] = read_ms;
  return result;
}

TEST(PaceWatch, SaysOnceWhichLaneIsSlowerThanPredicted) {
  PaceWatch watch(hundred_milliseconds());
  for (int i = 0; i < 19; ++i) EXPECT_FALSE(watch.look(step_of(130.0, 80.0)));
  const auto said = watch.look(step_of(130.0, 80.0));
  ASSERT_TRUE(said);
  EXPECT_NE(said->find("1.30 times the 100.0 ms"), std::string::npos) << *said;
  EXPECT_NE(said->find("ssd_read was busy for 80.0 ms of each, predicted 40.0 (2.00 times)"), std::string::npos) << *said;
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(watch.look(step_of(130.0, 80.0)));
}

TEST(PaceWatch, BlamesNoLaneThatIsAsBusyAsPredicted) {
  PaceWatch watch(hundred_milliseconds());
  std::optional<std::string> said;
  for (int i = 0; i < 20; ++i) said = watch.look(step_of(130.0, 40.0));
  ASSERT_TRUE(said);
  EXPECT_NE(said->find("no lane was busy for longer"), std::string::npos) << *said;
}

TEST(PaceWatch, AllowsAFifthAndForgetsSlowStepsOfLongAgo) {
  PaceWatch watch(hundred_milliseconds());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(watch.look(step_of(130.0, 80.0)));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(watch.look(step_of(i % 2 == 0 ? 119.0 : 109.0, 80.0)));
}

TEST(PaceWatch, NeedsAPrediction) {
  PaceWatch watch({});
  StepResult unpredicted = step_of(130.0, 80.0);
  unpredicted.predicted_ms = 0.0;
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(watch.look(unpredicted));
}

TEST(BindingText, NamesTheLaneWhoseWorkTakesLongest) {
  EXPECT_EQ(binding_text(hundred_milliseconds(), 120.0), "compute binds, at 75% of its limit");
  EXPECT_EQ(binding_text(hundred_milliseconds(), 80.0), "compute binds, at 100% of its limit");
  EXPECT_EQ(binding_text({}, 120.0), "");
}

}  // namespace
}  // namespace gsnake::run
