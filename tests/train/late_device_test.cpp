// The real units on a device that is late: a copy, an edge or a wait that the graph lacks gives other bits than training in memory.
#include <gtest/gtest.h>

#include <array>

#include "device/async_device.h"
#include "sweep.h"
#include "train/parts.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 3;
constexpr std::int64_t kSteps = 4;

// The ends of what must not matter, and of the order, which is maths.
struct Setting {
  const char* name;
  Schedule schedule;
  double delay;
  TierFractions state;
  TierFractions activations;
  double gradients_host;
  Durability durability;
};

const std::array kSettings{
    Setting{"all on ssd, nothing delayed", Schedule::vertical, 0.0, {0, 0}, {0, 0}, 0.0, Durability::commit},
    Setting{"all on ssd, all delayed and spilled", Schedule::vertical, 1.0, {0, 0}, {0, 0}, 0.0, Durability::off},
    Setting{"all on the device", Schedule::vertical, 0.7, {1, 0}, {1, 0}, 1.0, Durability::commit},
    Setting{"all in host memory, all delayed", Schedule::vertical, 1.0, {0, 1}, {0, 1}, 1.0, Durability::commit},
    Setting{"thirds, horizontal", Schedule::horizontal, 0.25, {1.0 / 3, 1.0 / 3}, {1.0 / 3, 1.0 / 3}, 0.0, Durability::off},
};

Config config_of(const Setting& setting, const ModelConfig& model, const TempFolder& folder) {
  Config config = small_config(model, kMicroBatches, folder);
  config.train.schedule = setting.schedule;
  config.train.order = setting.schedule == Schedule::vertical ? MicroBatchOrder::snake : MicroBatchOrder::ascending;
  config.train.delay = setting.delay;
  config.placement.weights = config.placement.optimizer = setting.state;
  config.placement.activations = setting.activations;
  config.placement.gradients = {0.0, setting.gradients_host, false};
  config.placement.kept.device = setting.delay;  // none, all, and in between
  config.run.durability = setting.durability;
  return config;
}

TrainerOptions late(std::uint64_t seed) {
  train::Parts parts;
  parts.make_device = [seed](const Config&) {
    return train::ComputeDevice{std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = seed, .longest_delay = std::chrono::microseconds(200)}), nullptr};
  };
  TrainerOptions options;
  options.parts = std::make_shared<const train::Parts>(std::move(parts));
  return options;
}

class LateDevice : public testing::TestWithParam<ModelFamily> {};

TEST_P(LateDevice, TrainsToTheBitsOfTrainingInMemory) {
  const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches, small_llama().vocab);
  for (const Setting& setting : kSettings) {
    SCOPED_TRACE(setting.name);
    const TempFolder unused;
    const bool snake = setting.schedule == Schedule::vertical;
    const Config config = config_of(setting, small_family(GetParam()), unused);
    const Outcome expected = train_in_memory(config, batches, snake ? reference::Order::snake : reference::Order::ascending);
    for (int seed = 1; seed <= sweep(1, 12); ++seed) {
      SCOPED_TRACE("delays of seed " + std::to_string(seed));
      const TempFolder folder;
      ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config_of(setting, small_family(GetParam()), folder), batches, late(static_cast<std::uint64_t>(seed))), expected));
    }
  }
}

TEST_P(LateDevice, ValidatesBetweenStepsInHalfPrecision) {
  const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches, small_llama().vocab);
  const auto losses = [&](const TrainerOptions& options) {
    const TempFolder folder;
    Config config = config_of(kSettings[4], small_family(GetParam()), folder);
    config.train.dtype = Dtype::bf16;
    Trainer trainer(models::make(config.model), config, options);
    std::vector<double> all;
    for (const Batch& batch : batches) {
      all.push_back(trainer.step(batch).loss);
      all.push_back(trainer.validate(batch));
    }
    return all;
  };
  EXPECT_EQ(losses(late(7)), losses({}));
}

INSTANTIATE_TEST_SUITE_P(Families, LateDevice,
                         testing::Values(ModelFamily::gpt2, ModelFamily::llama, ModelFamily::mistral, ModelFamily::qwen2, ModelFamily::qwen3),
                         [](const auto& instance) { return std::string(word_of(instance.param)); });

}  // namespace
}  // namespace gsnake::test
