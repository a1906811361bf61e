// What a step asks of CUDA, the first one as well, as the dry runs came before: nothing that waits for the device, and no memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "fake/control.h"
#include "gpu/fake_gpu.h"
#include "train/cuda_run.h"
#include "train/waiting_calls.h"

namespace gsnake::test {
namespace {

class NoWaits : public testing::TestWithParam<ModelFamily> {};

void expect_none(const Config& config, const std::vector<Batch>& batches) {
  Trainer trainer(models::make(config), config, on_fake_gpu(0));
  const auto before = waiting_calls();
  const long queued = fake_gpu::counts().queued;
  for (const Batch& batch : batches) trainer.step(batch);
  EXPECT_EQ(waiting_calls(), before);
  EXPECT_GT(fake_gpu::counts().queued, queued);
}

TEST_P(NoWaits, InAStep) {
  for (const RunSetting& setting : kRunSettings) {
    SCOPED_TRACE(setting.name);
    const TempFolder folder;
    const Config config = cuda_config(setting, small_family(GetParam()), Dtype::bf16, folder);
    expect_none(config, random_batches(3, kRunMicroBatches, config.model.vocab));
  }
}

TEST_P(NoWaits, InAStepOfPackedDocuments) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[0], small_family(GetParam()), Dtype::bf16, folder);
  config.data.documents = Documents::packed;
  std::vector<Batch> batches = random_batches(3, kRunMicroBatches, config.model.vocab);
  for (Batch& batch : batches) batch.starts.assign(static_cast<std::size_t>(kRunMicroBatches * kRows), {0, 5, 12});
  expect_none(config, batches);
}

INSTANTIATE_TEST_SUITE_P(Families, NoWaits, testing::Values(ModelFamily::gpt2, ModelFamily::llama, ModelFamily::mistral, ModelFamily::qwen2, ModelFamily::qwen3),
                         [](const auto& test) { return std::string(word_of(test.param)); });

// Nor does the head of preference pairs, whose results are sums by pair; they are those of the CPU.
TEST(NoWaitsOfPairs, InAStep) {
  for (const RunSetting& setting : kRunSettings) {
    SCOPED_TRACE(setting.name);
    const TempFolder folder;
    const TempFolder other;
    const auto pairs = [&](const TempFolder& in) {
      Config config = cuda_config(setting, small_llama(), Dtype::fp32, in);
      config.train.objective = Objective::dpo;
      config.train.micro_batch_size = kRows / 2;
      config.adapter.rank = 4;
      config.optimizer.learning_rate = 1e-2;
      return config;
    };
    std::vector<Batch> batches = random_batches(4, kRunMicroBatches, small_llama().vocab);
    std::fill_n(batches[1].labels.begin(), kRows * kTokens, kIgnoredLabel);  // a pair that does not count
    const Config config = pairs(folder);
    Trainer trainer(models::make(config), config, on_fake_gpu(0));
    Config on_cpu = pairs(other);
    on_cpu.memory.device = "cpu";
    Trainer reference(models::make(on_cpu), on_cpu);
    const auto before = waiting_calls();
    std::vector<StepResult> found;
    for (const Batch& batch : batches) found.push_back(trainer.step(batch));
    EXPECT_EQ(waiting_calls(), before);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      SCOPED_TRACE(i);
      const StepResult expected = reference.step(batches[i]);
      EXPECT_NEAR(found[i].loss, expected.loss, 1e-6 * expected.loss);
      EXPECT_NEAR(found[i].grad_norm, expected.grad_norm, 1e-5 * expected.grad_norm);
      ASSERT_TRUE(found[i].rewards);
      EXPECT_NEAR(found[i].rewards->chosen, expected.rewards->chosen, 1e-5);
      EXPECT_NEAR(found[i].rewards->rejected, expected.rewards->rejected, 1e-5);
      EXPECT_NEAR(found[i].rewards->margin, expected.rewards->margin, 1e-5);
      EXPECT_EQ(found[i].rewards->accuracy, expected.rewards->accuracy);
    }
    EXPECT_NE(found.back().rewards->margin, 0.0);
  }
}

TEST(CudaMemory, StaysWithinTheDeviceBudget) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::bf16, folder);
  config.memory.device_budget = 64ULL << 20U;
  const std::vector<Batch> batches = random_batches(3, kRunMicroBatches, config.model.vocab);
  const std::size_t before = fake_cuda_live_bytes();
  Trainer trainer(models::make(config.model), config, on_fake_gpu(2));
  for (const Batch& batch : batches) trainer.step(batch);
  EXPECT_LE(trainer.report().device_bytes, config.memory.device_budget);
  EXPECT_LE(fake_cuda_live_bytes() - before, trainer.report().device_bytes + 8192);
}

TEST(CudaMemory, WhatDoesNotFitIsRefusedBeforeAnythingRuns) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::bf16, folder);
  config.memory.device_budget = 2ULL << 20U;
  try {
    Trainer trainer(models::make(config.model), config, on_fake_gpu(2));
    FAIL() << "it fits";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget) << error.what();
    EXPECT_NE(std::string(error.what()).find("device_budget"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gsnake::test
