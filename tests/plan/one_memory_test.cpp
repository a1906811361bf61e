// Plans for a GPU whose memory is the host's own.
#include <gmock/gmock.h>

#include "greedysnake/error.h"
#include "plan/extrapolation.h"
#include "plan/machines.h"
#include "plan/planner/space.h"
#include "plan/run_plan.h"
#include "schedule/traffic.h"

namespace gsnake::plan {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

class OneMemory : public testing::Test {
 protected:
  OneMemory() {
    config_.model.layers = 4;
    config_.model.hidden = 256;
    config_.model.vocab = 2000;
    config_.train.dtype = Dtype::bf16;
    config_.train.micro_batches = 4;
    config_.train.micro_batch_size = 8;
    config_.train.sequence_length = 128;
    config_.memory = {"cuda:0", kGiB, kGiB};
    config_.placement.activations = {0.0, 1.0, false};
    case_.set_model(config_);
    setting_ = case_.input.setting;
    setting_.one_memory = 8 * kGiB;
    profile_ = test::workstation();
    profile_.compute.unified = true;
  }
  [[nodiscard]] schedule::StepTraffic traffic(const Setting& setting) const {
    return schedule::training_traffic(make_problem(config_, numerics_of(config_), case_.layout, Purpose::train, setting.one_memory.has_value()));
  }
  // All that is free for both tiers; budgets are to be chosen.
  [[nodiscard]] PlannerInput planner_input(std::uint64_t free_host_bytes) const {
    PlannerInput input = case_.input;
    input.setting = setting_;
    input.profile = profile_;
    input.advises = false;
    input.free_host_bytes = free_host_bytes;
    input.config.memory.host_budget = input.config.memory.device_budget = kAutomaticBytes;
    return input;
  }
  [[nodiscard]] std::string refusal() const {
    try {
      refuse_what_does_not_fit(config_, setting_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::budget);
      return error.what();
    }
    return {};
  }

  Config config_;
  test::Case case_;
  Setting setting_;
  sim::MachineProfile profile_;
};

TEST_F(OneMemory, ActivationsOfTheHostStayOnTheDeviceAndNothingElseChanges) {
  for (const TierFractions placed : {TierFractions{0.0, 1.0}, TierFractions{0.25, 0.5}, TierFractions{1.0 / 3, 2.0 / 3}}) {
    config_.placement.activations = placed;
    const schedule::StepTraffic there = traffic(case_.input.setting);
    const schedule::StepTraffic here = traffic(setting_);
    EXPECT_GT(there.activations.h2d, here.activations.h2d);
    EXPECT_GT(there.activations.d2h, here.activations.d2h);
    EXPECT_EQ(here.activations.ssd_write, there.activations.ssd_write) << "what is on SSD stays there";
    if (placed.device + placed.host >= 1.0) {
      EXPECT_EQ(here.activations, schedule::Bytes());
    }
    EXPECT_EQ(here.weights, there.weights);
    EXPECT_EQ(here.optimizer_state, there.optimizer_state);
    EXPECT_EQ(here.gradients, there.gradients);
  }
}

TEST_F(OneMemory, AForecastIsOfStepsThatCopyNoActivations) {
  const Forecast here = forecast(config_, setting_, profile_, prediction_options(config_));
  Config on_device = config_;
  on_device.placement.activations = {1.0, 0.0, false};
  const Forecast as_if = forecast(on_device, case_.input.setting, profile_, prediction_options(config_));
  const Forecast apart = forecast(config_, case_.input.setting, profile_, prediction_options(config_));
  EXPECT_EQ(here.prediction.step_seconds, as_if.prediction.step_seconds);
  EXPECT_EQ(here.memory.host_bytes, as_if.memory.host_bytes);
  EXPECT_EQ(here.memory.device_bytes, as_if.memory.device_bytes);
  for (const schedule::Lane lane : {schedule::Lane::h2d, schedule::Lane::d2h}) {
    EXPECT_LT(here.prediction.lanes[static_cast<std::size_t>(lane)].limit, apart.prediction.lanes[static_cast<std::size_t>(lane)].limit);
  }
}

TEST_F(OneMemory, TakesFewerSlotsWhereLittleIsFreeForBothTiers) {
  const schedule::Problem problem = make_problem(config_, numerics_of(config_), case_.layout, Purpose::train, true);
  const MemoryPlan most = plan_run(config_, setting_, problem);
  const auto least = requirements(config_, setting_);
  const std::uint64_t needed = bytes_of(least, "host") + bytes_of(least, "device");
  ASSERT_GT(most.host_bytes + most.device_bytes, needed);
  setting_.one_memory = needed;
  const MemoryPlan fewest = plan_run(config_, setting_, problem);
  EXPECT_EQ(fewest.host_bytes + fewest.device_bytes, needed);
}

TEST_F(OneMemory, IsRefusedAsOneWhereBothBudgetsAreKeptButItIsNotFree) {
  EXPECT_EQ(refusal(), "");
  const auto items = requirements(config_, setting_);
  const std::uint64_t needed = bytes_of(items, "host") + bytes_of(items, "device");
  setting_.one_memory = needed;
  EXPECT_EQ(refusal(), "");
  setting_.one_memory = needed - kMiB;
  const std::string text = refusal();
  EXPECT_THAT(text, HasSubstr("are free of the one memory that both are; end what else takes memory"));
  EXPECT_THAT(text, HasSubstr("task graphs and tables"));
  EXPECT_THAT(text, HasSubstr("LibTorch's temporaries"));
  EXPECT_THAT(text, Not(HasSubstr("_budget to at least"))) << "no budget would help";
  EXPECT_THAT(text, HasSubstr("placement.activations.host = ")) << "on SSD they take none";
  const schedule::Problem problem = make_problem(config_, numerics_of(config_), case_.layout, Purpose::train, true);
  EXPECT_THROW(plan_run(config_, setting_, problem), Error);
}

TEST_F(OneMemory, ADeviceBudgetThatIsTooSmallIsToldThatTheHostsCanHelp) {
  config_.memory.device_budget = 4 * kMiB;
  EXPECT_THAT(refusal(), HasSubstr("memory.device_budget to at least"));
  EXPECT_THAT(refusal(), HasSubstr("(host and device memory are one here: what one budget leaves, the other can have)"));
}

// Of many units the requirements are extrapolated.
TEST_F(OneMemory, OfALargeModelIsToldAlike) {
  config_.train.micro_batches = 40'000;
  ASSERT_TRUE(is_extrapolated(config_, setting_));
  Config on_device = config_;
  on_device.placement.activations = {1.0, 0.0, false};
  const auto here = requirements(config_, setting_);
  const auto as_if = requirements(on_device, case_.input.setting);
  EXPECT_EQ(bytes_of(here, "host"), bytes_of(as_if, "host"));
  EXPECT_EQ(bytes_of(here, "device"), bytes_of(as_if, "device"));
}

TEST_F(OneMemory, APlanPutsNoActivationsOnTheHostAndSharesWhatIsFreeBetweenTheTiers) {
  PlannerInput input = planner_input(256 * kMiB);
  input.free_device_bytes = 64 * kGiB;  // the same memory, as CUDA sees it
  input.config.placement.activations.automatic = input.config.placement.weights.automatic = input.config.placement.optimizer.automatic = true;
  const Plan plan = make_plan(input);
  EXPECT_EQ(plan.config.placement.activations.host, 0.0);
  EXPECT_GT(plan.config.placement.activations.device, 0.0);
  EXPECT_LE(plan.config.memory.host_budget + plan.config.memory.device_budget, input.free_host_bytes);
  EXPECT_LE(plan.forecast.memory.host_bytes, plan.config.memory.host_budget);
  EXPECT_LE(plan.forecast.memory.device_bytes, plan.config.memory.device_budget);
}

// What was asked for is kept as it was said, and planned as it will be.
TEST_F(OneMemory, APlanKeepsThePlacementThatItWasGiven) {
  PlannerInput input = planner_input(512 * kMiB);
  input.config.placement.weights.automatic = true;
  const Plan plan = make_plan(input);
  EXPECT_EQ(plan.config.placement.activations.host, 1.0);
  EXPECT_EQ(plan.config.placement.activations.device, 0.0);
  EXPECT_EQ(plan.forecast.problem.activations.device, 1.0);
  const Space space(config_, true);
  EXPECT_EQ(space.leanest(0.0).fractions[index(Fraction::activations_device)], 1.0);
  EXPECT_EQ(space.leanest(0.0).fractions[index(Fraction::activations_host)], 0.0);
}

}  // namespace
}  // namespace gsnake::plan
