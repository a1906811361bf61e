#include "optim/learning_rate.h"

#include <gtest/gtest.h>

namespace gsnake::optim {
namespace {

using Decay = LearningRateSchedule::Decay;

constexpr LearningRateSchedule kBase{.peak = 1.0, .minimum = 0.25, .warmup_steps = 4, .decay_steps = 12};

LearningRateSchedule with(Decay decay) {
  LearningRateSchedule schedule = kBase;
  schedule.decay = decay;
  return schedule;
}

TEST(LearningRate, WarmsUpInEqualPartsToThePeak) {
  for (const Decay decay : {Decay::constant, Decay::cosine, Decay::linear, Decay::wsd}) {
    const LearningRateSchedule schedule = with(decay);
    EXPECT_EQ(schedule.at(0), 0.25);
    EXPECT_EQ(schedule.at(1), 0.5);
    EXPECT_EQ(schedule.at(2), 0.75);
    EXPECT_EQ(schedule.at(3), 1.0);
    EXPECT_EQ(schedule.at(4), 1.0);
  }
}

TEST(LearningRate, IsThePeakFromTheStartWithoutWarmup) {
  for (const Decay decay : {Decay::constant, Decay::cosine, Decay::linear, Decay::wsd}) {
    LearningRateSchedule schedule = with(decay);
    schedule.warmup_steps = 0;
    EXPECT_EQ(schedule.at(0), 1.0);
  }
}

TEST(LearningRate, ConstantStaysAtThePeak) {
  EXPECT_EQ(with(Decay::constant).at(11), 1.0);
  EXPECT_EQ(with(Decay::constant).at(1'000'000), 1.0);
}

TEST(LearningRate, LinearFallsInEqualPartsToTheMinimum) {
  const LearningRateSchedule schedule = with(Decay::linear);
  EXPECT_EQ(schedule.at(6), 1.0 - 0.75 * 2 / 8);
  EXPECT_EQ(schedule.at(8), 0.625);
  EXPECT_EQ(schedule.at(11), 0.25 + 0.75 / 8);
  EXPECT_EQ(schedule.at(12), 0.25);
}

TEST(LearningRate, CosineIsHalfWayInTheMiddleOfTheDecay) {
  const LearningRateSchedule schedule = with(Decay::cosine);
  EXPECT_DOUBLE_EQ(schedule.at(6), 0.25 + 0.75 * 0.85355339059327378);  // (1 + cos(pi / 4)) / 2
  EXPECT_DOUBLE_EQ(schedule.at(8), 0.625);
  EXPECT_DOUBLE_EQ(schedule.at(10), 0.25 + 0.75 * 0.14644660940672624);
  EXPECT_EQ(schedule.at(12), 0.25);
}

TEST(LearningRate, WsdStaysAtThePeakAndFallsOverTheLastFifth) {
  const LearningRateSchedule schedule{.peak = 1.0, .minimum = 0.5, .warmup_steps = 2, .decay_steps = 20, .decay = Decay::wsd};
  EXPECT_EQ(schedule.at(2), 1.0);
  EXPECT_EQ(schedule.at(16), 1.0);
  EXPECT_EQ(schedule.at(17), 0.875);
  EXPECT_EQ(schedule.at(18), 0.75);
  EXPECT_EQ(schedule.at(19), 0.625);
  EXPECT_EQ(schedule.at(20), 0.5);
}

TEST(LearningRate, WsdWhoseWarmupReachesIntoTheLastFifthFallsFromThere) {
  const LearningRateSchedule schedule{.peak = 1.0, .minimum = 0.0, .warmup_steps = 18, .decay_steps = 20, .decay = Decay::wsd};
  EXPECT_EQ(schedule.at(17), 1.0);
  EXPECT_EQ(schedule.at(18), 1.0);
  EXPECT_EQ(schedule.at(19), 0.5);
  EXPECT_EQ(schedule.at(20), 0.0);
}

TEST(LearningRate, IsTheMinimumAfterTheDecay) {
  for (const Decay decay : {Decay::cosine, Decay::linear, Decay::wsd}) EXPECT_EQ(with(decay).at(1'000'000), 0.25);
}

TEST(LearningRate, GoesStraightToTheMinimumWhenTheWarmupIsAsLongAsTheDecay) {
  for (const Decay decay : {Decay::cosine, Decay::linear, Decay::wsd}) {
    LearningRateSchedule schedule = with(decay);
    schedule.decay_steps = 4;
    EXPECT_EQ(schedule.at(3), 1.0);
    EXPECT_EQ(schedule.at(4), 0.25);
  }
}

}  // namespace
}  // namespace gsnake::optim
