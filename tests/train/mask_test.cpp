// Labels that do not count, down to micro-batches and rows without any: losses and weights equal those of a loop in memory, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 3;
constexpr std::ptrdiff_t kMicroBatch = kRows * kTokens;

std::vector<Batch> masked_batches() {
  std::vector<Batch> batches = random_batches(6, kMicroBatches, small_gpt2().vocab);
  const auto ignore = [](Batch& batch, std::ptrdiff_t first, std::ptrdiff_t count) {
    std::fill_n(batch.labels.begin() + first, count, kIgnoredLabel);
  };
  ignore(batches[1], kMicroBatch, kMicroBatch);          // a micro-batch in the middle
  ignore(batches[2], 0, kTokens);                        // a row
  ignore(batches[3], 0, 2 * kMicroBatch);                // all but the last micro-batch,
  ignore(batches[3], 2 * kMicroBatch, kMicroBatch - 1);  // of which one label is left
  batches[3].labels.back() = 5;
  ignore(batches[4], 0, kMicroBatch);
  ignore(batches[4], 2 * kMicroBatch, kMicroBatch);
  return batches;
}

class MaskedLabels : public testing::TestWithParam<Dtype> {};

TEST_P(MaskedLabels, EqualTrainingInMemory) {
  const std::vector<Batch> batches = masked_batches();
  for (const double delay : {0.0, 0.5, 1.0}) {
    for (const ModelConfig& model : {small_gpt2(), small_llama()}) {
      const TempFolder folder;
      Config config = small_config(model, kMicroBatches, folder);
      config.train.dtype = GetParam();
      config.train.compute_dtype = ComputeDtype::fp32;
      config.train.delay = delay;
      SCOPED_TRACE(std::string(word_of(model.family)) + ", delay " + std::to_string(delay));
      const Outcome expected = train_in_memory(config, batches, reference::Order::snake);
      ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches), expected));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, MaskedLabels, testing::Values(Dtype::fp32, Dtype::bf16), [](const auto& dtype) { return word_of(dtype.param); });

TEST(MaskedMean, IsOverWhatCounts) {
  const TempFolder folder;
  Config config = small_config(small_llama(), kMicroBatches, folder);
  Trainer trainer(models::make(config.model), config);
  Batch batch = random_batches(1, kMicroBatches, config.model.vocab).front();
  std::fill(batch.labels.begin(), batch.labels.end(), kIgnoredLabel);
  batch.labels[7] = 3;
  batch.labels[static_cast<std::size_t>(2 * kMicroBatch)] = 4;
  const double both = trainer.validate(batch);
  batch.labels[7] = kIgnoredLabel;
  const double second = trainer.validate(batch);
  std::swap(batch.labels[7], batch.labels[static_cast<std::size_t>(2 * kMicroBatch)]);
  batch.labels[7] = 3;
  const double first = trainer.validate(batch);
  EXPECT_NEAR(both, (first + second) / 2, 1e-6);
  const StepResult step = trainer.step(batch);
  EXPECT_EQ(step.tokens, 1);
  EXPECT_NEAR(step.loss, first, 1e-6);
  std::fill(batch.labels.begin(), batch.labels.end(), kIgnoredLabel);
  const StepResult nothing = trainer.step(batch);
  EXPECT_EQ(nothing.tokens, 0);
  EXPECT_TRUE(std::isnan(nothing.loss));
  EXPECT_EQ(nothing.grad_norm, 0.0);
  EXPECT_TRUE(std::isnan(trainer.validate(batch)));
}

}  // namespace
}  // namespace gsnake::test
