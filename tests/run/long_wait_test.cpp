#include "run/long_wait.h"

#include <gtest/gtest.h>

namespace gsnake::run {
namespace {

using Say = LongWait::Say;

LongWait::Time at(double seconds) { return LongWait::Time(std::chrono::nanoseconds(static_cast<std::int64_t>((1000.0 + seconds) * 1e9))); }

AwaitedWork sight(std::int64_t done, double in_hand = 0.1, double longest = 0.2) { return {done, 1000, in_hand, longest}; }

TEST(LongWait, AStepOfManyShortTasksIsToldOfOnceAMinuteAndNeverWarnedOf) {
  LongWait wait({});
  wait.begin(at(0), sight(0));
  int told = 0;
  for (int second = 1; second <= 300; ++second) {
    const Say say = wait.look(at(second), sight(second * 2));
    EXPECT_NE(say, Say::warning) << second;
    if (say == Say::progress) EXPECT_EQ(second % 60, 0) << second;
    told += say == Say::progress ? 1 : 0;
  }
  EXPECT_EQ(told, 5);
}

TEST(LongWait, StepsThatHaveTheirOwnLinesAreNotToldOfBesides) {
  LongWait wait({});
  for (int step = 0; step < 20; ++step) {
    wait.begin(at(step * 50.0), sight(0));
    for (int second = 1; second < 50; ++second) EXPECT_EQ(wait.look(at(step * 50.0 + second), sight(second)), Say::nothing);
    wait.told(at(step * 50.0 + 50.0));
  }
}

TEST(LongWait, ATerminalIsToldAtEveryLook) {
  LongWait wait({.tell_after = 0.0});
  wait.begin(at(0), sight(0));
  for (int second = 1; second < 5; ++second) EXPECT_EQ(wait.look(at(second), sight(second)), Say::progress);
}

TEST(LongWait, ATaskThatDoesNotEndIsWarnedOfAndAgainLater) {
  LongWait wait({});
  wait.begin(at(0), sight(7, 0.0));
  EXPECT_EQ(wait.look(at(9), sight(7, 9.0)), Say::nothing);
  EXPECT_EQ(wait.look(at(10), sight(7, 10.0)), Say::warning);
  EXPECT_EQ(wait.look(at(20), sight(7, 20.0)), Say::nothing);
  EXPECT_EQ(wait.look(at(40), sight(7, 40.0)), Say::warning);
}

TEST(LongWait, ATaskIsNotCalledLongThatTakesWhatOthersOfItsLaneTook) {
  LongWait wait({});
  wait.begin(at(0), sight(7, 0.0));
  EXPECT_EQ(wait.look(at(30), sight(7, 30.0, 12.0)), Say::nothing);
  EXPECT_EQ(wait.look(at(48), sight(7, 48.0, 12.0)), Say::warning);
}

TEST(LongWait, NoTaskInHandAndNoneThatEndsIsWarnedOf) {
  LongWait wait({});
  wait.begin(at(0), sight(7, 0.0));
  EXPECT_EQ(wait.look(at(8), sight(8, 0.0)), Say::nothing);
  EXPECT_EQ(wait.look(at(17), sight(8, 0.0)), Say::nothing);
  EXPECT_EQ(wait.look(at(18), sight(8, 0.0)), Say::warning);
}

TEST(LongWait, AnotherWaitIsWarnedOfAnew) {
  LongWait wait({});
  wait.begin(at(0), sight(7, 0.0));
  EXPECT_EQ(wait.look(at(10), sight(7, 10.0)), Say::warning);
  wait.begin(at(11), sight(8, 0.0));
  EXPECT_EQ(wait.look(at(21), sight(8, 10.0)), Say::warning);
}

TEST(LongWait, TimeLeftIsWhatTheRestTakesAtTheRateSoFar) {
  LongWait wait({});
  wait.begin(at(0), sight(200));
  EXPECT_FALSE(wait.seconds_left(at(5), sight(200)).has_value());
  EXPECT_DOUBLE_EQ(wait.seconds_left(at(10), sight(400)).value(), 30.0);
  EXPECT_DOUBLE_EQ(wait.seconds_left(at(10), sight(1000)).value(), 0.0);
}

}  // namespace
}  // namespace gsnake::run
