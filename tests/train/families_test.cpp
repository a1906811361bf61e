// Families beyond the grid of bit_identity_test.cpp: streamed in every dtype, they have the bits of training in memory.
#include <gtest/gtest.h>

#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kMicroBatches = 3;

class FamilyBits : public testing::TestWithParam<ModelFamily> {};

TEST_P(FamilyBits, AreThoseOfTrainingInMemory) {
  for (const Dtype dtype : {Dtype::fp32, Dtype::bf16, Dtype::fp16}) {
    SCOPED_TRACE(word_of(dtype));
    const TempFolder folder;
    Config config = small_config(small_family(GetParam()), kMicroBatches, folder);
    const std::vector<Batch> batches = random_batches(5, kMicroBatches, config.model.vocab);
    config.train.dtype = dtype;
    const bool skips = dtype == Dtype::fp16;
    config.train.delay = skips ? -1.0 : 0.7;
    config.placement.weights = config.placement.optimizer = config.placement.activations = {1.0 / 3, 1.0 / 3, false};
    config.placement.kept.device = 0.5;
    config.run.durability = Durability::commit;
    config.train.order = MicroBatchOrder::snake;
    ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches), train_in_memory(config, batches, reference::Order::snake)));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyBits, testing::Values(ModelFamily::mistral, ModelFamily::qwen2, ModelFamily::qwen3),
                         [](const auto& instance) { return std::string(word_of(instance.param)); });

}  // namespace
}  // namespace gsnake::test
