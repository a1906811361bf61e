// What a config asks of the numbers of a run, and what of it excludes one another.
#include "plan/numerics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "greedysnake/error.h"

namespace gsnake::plan {
namespace {

using schedule::Guard;
using testing::HasSubstr;

std::string refusal(const std::function<void(Config&)>& change) {
  Config config;
  config.train.dtype = Dtype::fp32;
  change(config);
  try {
    static_cast<void>(numerics_of(config));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return {};
}

TEST(Numerics, RefuseADelayThatAnUpdateCannotHaveWhenItWaitsForTheNorm) {
  const auto clipped = [](Config& config) {
    config.optimizer.gradient_clipping = 1.0;
    config.train.delay = 0.5;
  };
  EXPECT_EQ(refusal(clipped), "");
  EXPECT_THAT(refusal([&](Config& config) {
                clipped(config);
                config.optimizer.clipping_mode = ClippingMode::deferred;
              }),
              HasSubstr("train.delay = 0.5"));
  EXPECT_THAT(refusal([&](Config& config) {
                clipped(config);
                config.run.commit_every = 2;
              }),
              HasSubstr("run.commit_every is not 1"));
  EXPECT_THAT(refusal([&](Config& config) {
                clipped(config);
                config.placement.optimizer.host = 0.5;
              }),
              HasSubstr("not wholly on SSD"));
}

TEST(Numerics, RefuseLossScalesThatNothingFindsOrUses) {
  EXPECT_THAT(refusal([](Config& config) {
                config.train.dtype = Dtype::fp16;
                config.train.on_nonfinite = OnNonfinite::stop;
              }),
              HasSubstr("train.loss_scale = \"dynamic\""));
  EXPECT_THAT(refusal([](Config& config) { config.train.loss_scale = 128; }), HasSubstr("only train.dtype = \"fp16\""));
}

TEST(Numerics, SayWhyAnUpdateIsDeferredThatWasToBeSpeculative) {
  Config config;
  config.run.durability = Durability::off;
  config.optimizer.gradient_clipping = 1.0;
  config.optimizer.clipping_mode = ClippingMode::speculative;
  config.train.delay = -1.0;
  const Numerics numerics = numerics_of(config);
  EXPECT_EQ(numerics.guard, Guard::deferred);
  EXPECT_EQ(numerics.delay, 1.0);
  EXPECT_THAT(describe_guard(numerics), HasSubstr("run.durability is not"));
}

}  // namespace
}  // namespace gsnake::plan
