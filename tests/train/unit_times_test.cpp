// What is made of several times of a unit.
#include "train/unit_times.h"

#include <gtest/gtest.h>

#include <map>

namespace gsnake::train {
namespace {

std::map<std::string, double> usual(const std::vector<std::pair<std::string, double>>& rounds) {
  std::vector<sim::UnitTime> times;
  for (const auto& [key, seconds] : rounds) times.push_back({key, {.forward = seconds / 4.0, .backward = seconds * 3.0 / 4.0, .opening = 0.0}});
  std::map<std::string, double> found;
  for (const sim::UnitTime& time : usual_times(times)) {
    EXPECT_FALSE(found.contains(time.key)) << "each once";
    found[time.key] = time.seconds.forward + time.seconds.backward;
  }
  return found;
}

TEST(UsualTimes, AreOfRoundsInWhichNothingElseHadTheProcessor) {
  const auto found = usual({{"block", 19.3}, {"head", 9.0}, {"block", 14.2}, {"block", 19.1}, {"head", 9.2}, {"block", 14.0}, {"block", 19.2}, {"block", 14.4}, {"head", 27.0}});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_DOUBLE_EQ(found.at("block"), 14.2) << "not the fastest, which is as rare";
  EXPECT_DOUBLE_EQ(found.at("head"), 9.0);
}

TEST(UsualTimes, AreWhatThereIs) {
  EXPECT_TRUE(usual({}).empty());
  EXPECT_DOUBLE_EQ(usual({{"block", 3.0}}).at("block"), 3.0);
}

}  // namespace
}  // namespace gsnake::train
