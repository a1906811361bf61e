// Whom the planner lets update.
#include <gtest/gtest.h>

#include <algorithm>

#include "plan/machines.h"
#include "plan/planner/planner.h"

namespace gsnake::plan {
namespace {

using test::Case;

// All in host memory, on a GPU behind a fast link.
void set_up(Case& made) {
  Config config;
  config.model.layers = 4;
  config.model.hidden = 256;
  config.model.vocab = 2000;
  config.model.tie_embeddings = false;
  config.train.micro_batches = 2;
  config.train.sequence_length = 128;
  config.train.dtype = Dtype::bf16;
  config.memory.device = "cuda:0";
  config.memory.device_budget = config.memory.host_budget = 1ULL << 30;
  config.placement.weights = config.placement.optimizer = {0.0, 1.0};
  config.train.delay = 0.0;
  config.placement.update.automatic = true;
  made.set_model(config);
  made.input.profile = test::workstation();
  made.input.profile.compute.updates = 1e12;
  made.input.profile.optimizer.share = {};
  made.input.advises = false;
}

TEST(PlannedUpdates, GoToTheDeviceWhereTheCpuIsSlow) {
  Case made;
  set_up(made);
  made.input.profile.optimizer.threads = 1;
  made.input.profile.optimizer.rates = {{"bf16", 2e8}};
  const Plan plan = make_plan(made.input);
  EXPECT_GT(plan.config.placement.update.device, 0.0);
  EXPECT_FALSE(plan.config.leaves_choices());
  ASSERT_EQ(plan.choices.size(), 1U);
  EXPECT_EQ(plan.choices[0].key, "placement.update.device");
  Case kept;
  set_up(kept);
  kept.input.profile = made.input.profile;
  kept.input.config.placement.update = {};
  const Plan on_cpu = make_plan(kept.input);
  EXPECT_EQ(on_cpu.config.placement.update.device, 0.0);
  EXPECT_LT(plan.forecast.prediction.step(), on_cpu.forecast.prediction.step());
}

TEST(PlannedUpdates, StayOnTheCpuWhereTheLinkIsSlow) {
  Case made;
  set_up(made);
  made.input.profile.optimizer.rates = {{"bf16", 1e12}};
  made.input.profile.h2d.per_second = made.input.profile.d2h.per_second = 1e8;
  EXPECT_EQ(make_plan(made.input).config.placement.update.device, 0.0);
}

TEST(PlannedUpdates, StayOnTheCpuWhereItIsTheDevice) {
  Case made;
  set_up(made);
  made.input.config.memory.device = "cpu";
  made.input.profile.optimizer.rates = {{"bf16", 2e8}};
  const Plan plan = make_plan(made.input);
  EXPECT_EQ(plan.config.placement.update.device, 0.0);
  EXPECT_FALSE(plan.config.placement.update.automatic);
  EXPECT_TRUE(plan.choices.empty());
}

}  // namespace
}  // namespace gsnake::plan
