// Families beyond the grid of bit_identity_test.cpp: streamed in every dtype, they have the bits of training in memory.
#include <gtest/gtest.h>

#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 3;

ModelConfig family(const std::string& name) {
  ModelConfig model = small_llama();
  model.family = name;
  if (name == "mistral") model.sliding_window = 5;
  if (name == "mistral") model.tie_embeddings = true;
  if (name == "qwen2") model.rope_scaling = {"linear", 4.0, 1.0, 4.0, 0};
  if (name == "qwen3") model.rope_scaling = {"llama3", 8.0, 1.0, 4.0, 16};
  if (name == "qwen3") model.head_dim = 40;
  return model;
}

class FamilyBits : public testing::TestWithParam<const char*> {};

TEST_P(FamilyBits, AreThoseOfTrainingInMemory) {
  for (const char* dtype : {"fp32", "bf16", "fp16"}) {
    SCOPED_TRACE(dtype);
    const TempFolder folder;
    Config config = small_config(family(GetParam()), kMicroBatches, folder);
    const std::vector<Batch> batches = random_batches(5, kMicroBatches, config.model.vocab);
    config.train.dtype = dtype;
    const bool skips = config.train.dtype == "fp16";
    config.train.delay = skips ? -1.0 : 0.7;
    config.placement.weights = config.placement.optimizer = config.placement.activations = {1.0 / 3, 1.0 / 3, false};
    config.run.durability = "commit";
    config.train.order = "snake";
    ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches), train_in_memory(config, batches, reference::Order::snake)));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyBits, testing::Values("mistral", "qwen2", "qwen3"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace gsnake::test
