// Adapters on a real GPU: beside a base in each format, on packed documents and on preference pairs, equal bits however the run is laid out and the CPU's
// losses up to rounding.
#include <greedysnake/greedysnake.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>

#include "fused/place.h"
#include "gpu/small_config.h"

namespace gsnake::test {
namespace {

constexpr std::size_t kSteps = 4;

struct Kind {
  const char* name;
  ModelFamily family;
  Dtype dtype;
  const char* format;  // of the base; empty: none, the model's weights are the run's own
  const char* embeddings;
  AdapterVariant variant;
  bool documents;  // packed
  bool pairs;
};

Config config_of(const Kind& kind, const std::string& device, const TemporaryFolder& shared, const TemporaryFolder& folder) {
  Config config = small_gpu_config(kind.family, kind.dtype, device, folder);
  config.train.objective = kind.pairs ? Objective::dpo : Objective::tokens;
  config.adapter.rank = 8;
  config.adapter.variant = kind.variant;
  config.optimizer.learning_rate = 1e-3;
  if (*kind.format != 0) config.adapter.base = shared / "base";
  return config;
}

Batch batch_of(const Kind& kind, std::size_t step) {
  Batch batch;
  std::mt19937 random(static_cast<unsigned>(step + 1));
  const std::int64_t rows = kMicroBatches * (kind.pairs ? 2 : 1);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < kTokens; ++i) {
      batch.inputs.push_back(static_cast<std::int64_t>(random() % kVocab));
      batch.labels.push_back(i < kTokens / 2 && kind.pairs ? kIgnoredLabel : static_cast<std::int64_t>(random() % kVocab));
    }
    if (kind.documents) batch.starts.push_back({0, 17, static_cast<std::int32_t>(40 + row)});
  }
  return batch;
}

struct Outcome {
  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<double> margins;  // of pairs
  bool operator==(const Outcome&) const = default;
};

Outcome train(const Kind& kind, const Config& config, std::size_t stop_after = 0) {
  Outcome outcome;
  std::optional<Trainer> trainer(std::in_place, models::make(config), config);
  for (std::size_t step = 0; step < kSteps; ++step) {
    if (step > 0 && step == stop_after) {
      trainer->commit();
      trainer.reset();
      trainer.emplace(models::make(config), config);
      EXPECT_EQ(trainer->completed_steps(), static_cast<std::int64_t>(step));
    }
    const StepResult result = trainer->step(batch_of(kind, step));
    outcome.losses.push_back(result.loss);
    outcome.norms.push_back(result.grad_norm);
    if (result.rewards) outcome.margins.push_back(result.rewards->margin);
  }
  outcome.losses.push_back(trainer->validate(batch_of(kind, 0)));
  return outcome;
}

class GpuAdapter : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (Place::why_not() != nullptr) GTEST_SKIP() << Place::why_not();
    if (*GetParam().format == 0) return;
    const TemporaryFolder unused;
    const Config config = config_of(GetParam(), "cpu", shared_, unused);
    quantize("", config.model, shared_ / "base", {.format = GetParam().format, .embeddings = GetParam().embeddings, .seed = 3, .progress = {}});
  }
  TemporaryFolder shared_;
};

TEST_P(GpuAdapter, GivesEqualBitsHoweverItIsLaidOutAndTheCpusLosses) {
  const Kind& kind = GetParam();
  const TemporaryFolder folder;
  const Outcome first = train(kind, config_of(kind, "cuda:0", shared_, folder));
  EXPECT_NE(first.losses.front(), first.losses.back());
  for (const int other : {0, 1, 2}) {
    SCOPED_TRACE(other);
    const TemporaryFolder elsewhere;
    Config config = config_of(kind, "cuda:0", shared_, elsewhere);
    if (other == 0) {
      config.train.delay = 0.7;
      config.placement.weights = {0.3, 0.3};
      config.placement.optimizer = {0.0, 0.5};
      config.placement.activations = {0.0, 1.0};
    } else if (other == 1) {
      config.train.schedule = Schedule::horizontal;
      config.placement.weights = {0.0, 1.0};
    } else {
      config.placement.weights = {1.0, 0.0};
      config.placement.activations = {1.0, 0.0};
    }
    EXPECT_TRUE(train(kind, config, other == 0 ? 2 : 0) == first);
  }
  const TemporaryFolder on_cpu;
  Kind wide = kind;
  wide.dtype = Dtype::fp32;
  const Outcome cpu = train(wide, config_of(wide, "cpu", shared_, on_cpu));
  const double tolerance = kind.dtype == Dtype::fp32 ? 1e-4 : 4e-3;
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) EXPECT_NEAR(first.losses[i], cpu.losses[i], (i == 0 && kind.dtype == Dtype::fp32 ? 1e-6 : tolerance) * cpu.losses[i]) << "step " << i;
  // Of the adapters, whose gradients have been through all blocks.
  for (std::size_t i = 0; i < cpu.norms.size(); ++i) EXPECT_NEAR(first.norms[i], cpu.norms[i], 10 * tolerance * cpu.norms[i]) << "step " << i;
  ASSERT_EQ(first.margins.size(), kind.pairs ? kSteps : 0U);
  if (kind.pairs && kind.dtype == Dtype::fp32) {
    for (std::size_t i = 0; i < cpu.margins.size(); ++i) EXPECT_NEAR(first.margins[i], cpu.margins[i], 1e-3 * std::abs(cpu.margins.back()) + 1e-5) << "step " << i;
  }
}

// Where a block's matrices do not fit, they are dequantised in parts, of the same values.
TEST(GpuAdapterInParts, GivesTheBitsOfWholeMatrices) {
  if (Place::why_not() != nullptr) GTEST_SKIP() << Place::why_not();
  const Kind kind{"", ModelFamily::llama, Dtype::bf16, "nf4", "", AdapterVariant::lora, false, false};
  const TemporaryFolder shared;
  std::optional<Outcome> whole;
  std::uint64_t elements = 0;
  for (const std::uint64_t budget : {2048ULL << 20U, 320ULL << 20U}) {
    const TemporaryFolder folder;
    Config config = config_of(kind, "cuda:0", shared, folder);
    config.model.hidden = 2048;
    config.model.layers = 2;
    config.memory.device_budget = budget;
    if (!whole) quantize("", config.model, config.adapter.base, {.format = kind.format, .embeddings = "", .seed = 3, .progress = {}});
    Trainer trainer(models::make(config), config);
    Outcome outcome;
    outcome.losses.push_back(trainer.step(batch_of(kind, 0)).loss);
    outcome.losses.push_back(trainer.step(batch_of(kind, 1)).loss);
    const std::uint64_t dequantised = trainer.take_traffic().dequantised_elements;
    if (whole) {
      EXPECT_TRUE(outcome == *whole);
      EXPECT_GT(dequantised, 2 * elements);
    }
    whole = std::move(outcome);
    elements = dequantised;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GpuAdapter,
                         testing::Values(Kind{"nf4", ModelFamily::llama, Dtype::bf16, "nf4", "nf4", AdapterVariant::lora, false, false},
                                         Kind{"nf4_fp32", ModelFamily::llama, Dtype::fp32, "nf4", "", AdapterVariant::rslora, false, false},
                                         Kind{"int8_dora", ModelFamily::qwen3, Dtype::bf16, "int8", "int8", AdapterVariant::dora, false, false},
                                         Kind{"mxfp4_tied", ModelFamily::gpt2, Dtype::bf16, "mxfp4", "mxfp4", AdapterVariant::lora, false, false},
                                         Kind{"bf16_documents", ModelFamily::mistral, Dtype::bf16, "bf16", "", AdapterVariant::lora, true, false},
                                         Kind{"documents_fp32", ModelFamily::llama, Dtype::fp32, "", "", AdapterVariant::lora, true, false},
                                         Kind{"pairs", ModelFamily::llama, Dtype::bf16, "nf4", "", AdapterVariant::lora, false, true},
                                         Kind{"pairs_fp32", ModelFamily::qwen2, Dtype::fp32, "", "", AdapterVariant::lora, false, true}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gsnake::test
