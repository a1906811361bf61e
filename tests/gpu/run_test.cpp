// Training on a real GPU: equal bits however the run is laid out, over a stop and a resume, and the CPU's losses up to rounding.
#include <greedysnake/greedysnake.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "fused/place.h"
#include "gpu/small_config.h"

namespace gsnake::test {
namespace {

struct Kind {
  ModelFamily family;
  Dtype dtype;
};

// Where the state lies, what is delayed, who updates, and in which order units are visited: none of it is maths.
struct Layout {
  const char* name;
  Schedule schedule;
  double delay;
  TierFractions state;
  TierFractions activations;
  double updates;  // on the device
};
const std::vector<Layout> kLayouts{{"on ssd", Schedule::vertical, 0.0, {0, 0}, {0, 0}, 0.0},
                                   {"on the device, delayed", Schedule::vertical, 1.0, {1, 0}, {1, 0}, 1.0},
                                   {"in host memory, half delayed", Schedule::vertical, 0.5, {0, 1}, {0, 1}, 0.7},
                                   {"thirds, horizontal", Schedule::horizontal, 0.25, {1.0 / 3, 1.0 / 3}, {1.0 / 3, 1.0 / 3}, 0.3}};

Config config_of(const Kind& kind, const Layout& layout, const std::string& device, const TemporaryFolder& folder) {
  Config config = small_gpu_config(kind.family, kind.dtype, device, folder);
  if (kind.family == ModelFamily::gpt2 && device != "cpu") config.model.dropout = 0.1;
  if (kind.family == ModelFamily::mistral) config.model.sliding_window = 40;
  config.train.schedule = layout.schedule;
  config.train.delay = kind.dtype == Dtype::fp16 ? 1.0 : layout.delay;
  config.placement.weights = config.placement.optimizer = layout.state;
  config.placement.activations = layout.activations;
  config.placement.kept.device = layout.delay;  // none, all, half and a quarter
  config.placement.update.device = layout.updates;
  return config;
}

Batch batch_of(std::size_t step) {
  Batch batch;
  std::mt19937 random(static_cast<unsigned>(step));
  for (std::int64_t i = 0; i < kMicroBatches * kTokens; ++i) {
    batch.inputs.push_back(static_cast<std::int64_t>(random() % kVocab));
    batch.labels.push_back(static_cast<std::int64_t>(random() % kVocab));
  }
  return batch;
}

struct Outcome {
  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<std::vector<float>> weights;
  bool operator==(const Outcome&) const = default;
};

Outcome train(const Config& config, std::size_t steps, std::size_t stop_after = 0) {
  Outcome outcome;
  std::optional<Trainer> trainer(std::in_place, models::make(config.model), config);
  for (std::size_t step = 0; step < steps; ++step) {
    if (step > 0 && step == stop_after) {
      trainer->commit();
      trainer.reset();
      trainer.emplace(models::make(config.model), config);
      EXPECT_EQ(trainer->completed_steps(), static_cast<std::int64_t>(step));
    }
    const StepResult result = trainer->step(batch_of(step));
    outcome.losses.push_back(result.loss);
    outcome.norms.push_back(result.grad_norm);
  }
  trainer->commit();
  for (std::int64_t unit = 0; unit < config.model.layers + 2; ++unit) outcome.weights.push_back(trainer->weights(unit));
  return outcome;
}

class GpuRun : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (Place::why_not() != nullptr) GTEST_SKIP() << Place::why_not();
  }
};

TEST_P(GpuRun, GivesEqualBitsHoweverItIsLaidOut) {
  std::optional<Outcome> first;
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name);
    const TemporaryFolder folder;
    Outcome outcome = train(config_of(GetParam(), layout, "cuda:0", folder), 4);
    EXPECT_TRUE(!first || outcome == *first);
    first = std::move(outcome);
  }
}

TEST_P(GpuRun, GoesOnAfterAStopAsIfThereHadBeenNone) {
  const TemporaryFolder whole;
  const TemporaryFolder stopped;
  EXPECT_TRUE(train(config_of(GetParam(), kLayouts[2], "cuda:0", whole), 4) == train(config_of(GetParam(), kLayouts[2], "cuda:0", stopped), 4, 2));
}

TEST_P(GpuRun, HasTheCpusLossesUpToRounding) {
  if (GetParam().family == ModelFamily::gpt2) GTEST_SKIP() << "dropout draws other numbers there";
  const TemporaryFolder on_gpu;
  const TemporaryFolder on_cpu;
  const Outcome gpu = train(config_of(GetParam(), kLayouts[0], "cuda:0", on_gpu), 4);
  Kind wide = GetParam();
  wide.dtype = Dtype::fp32;
  const Outcome cpu = train(config_of(wide, kLayouts[0], "cpu", on_cpu), 4);
  // After the first step AdamW's sign-like updates carry rounding on.
  const double first = GetParam().dtype == Dtype::fp32 ? 1e-6 : 2e-3;
  for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
    EXPECT_NEAR(gpu.losses[step], cpu.losses[step], (step == 0 ? first : std::max(first, 1e-4)) * cpu.losses[step]) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GpuRun,
                         testing::Values(Kind{ModelFamily::gpt2, Dtype::bf16}, Kind{ModelFamily::llama, Dtype::fp32}, Kind{ModelFamily::llama, Dtype::bf16},
                                         Kind{ModelFamily::mistral, Dtype::fp16}, Kind{ModelFamily::qwen3, Dtype::bf16}),
                         [](const auto& test) { return std::string(word_of(test.param.family)) + "_" + word_of(test.param.dtype); });

}  // namespace
}  // namespace gsnake::test
