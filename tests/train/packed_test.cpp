// Documents packed into one row train as they do in rows of their own.
#include <gtest/gtest.h>

#include <cmath>

#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kLength = 32;
constexpr std::int64_t kSteps = 3;
constexpr std::array kDocuments{20, 7, 5};  // of a packed row

Config config_of(ModelConfig model, std::int64_t rows, const TempFolder& folder) {
  model.dropout = 0.0;
  Config config = small_config(model, 2, folder);
  config.train.micro_batch_size = rows;
  config.train.sequence_length = kLength;
  config.train.order = MicroBatchOrder::ascending;
  config.placement.kept.device = rows == 1 ? 1.0 : 0.0;
  return config;
}

struct Steps {
  std::vector<double> losses;
  std::vector<double> norms;
};

Steps train(const Config& config, const std::vector<Batch>& batches) {
  Steps steps;
  Trainer trainer(models::make(config.model), config);
  for (const Batch& batch : batches) {
    const StepResult result = trainer.step(batch);
    steps.losses.push_back(result.loss);
    steps.norms.push_back(result.grad_norm);
  }
  steps.losses.push_back(trainer.validate(batches[0]));
  return steps;
}

// The same documents: in one row a micro-batch, and in a row each.
void deal(std::vector<Batch>& packed, std::vector<Batch>& apart, std::int64_t vocab) {
  std::int64_t next = 17;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    Batch together;
    Batch alone;
    for (int m = 0; m < 2; ++m) {
      std::vector<std::int32_t>& starts = together.starts.emplace_back();
      for (const int length : kDocuments) {
        starts.push_back(static_cast<std::int32_t>(together.inputs.size() % kLength));
        for (std::int64_t i = 0; i < kLength; ++i) {
          const bool is_there = i < length;
          next = (next * 31 + 7) % vocab;
          const std::int64_t label = is_there && i % 5 != 4 ? (next * 3 + 1) % vocab : kIgnoredLabel;
          alone.inputs.push_back(is_there ? next : 0);
          alone.labels.push_back(label);
          if (!is_there) continue;
          together.inputs.push_back(next);
          together.labels.push_back(label);
        }
      }
    }
    packed.push_back(std::move(together));
    apart.push_back(std::move(alone));
  }
}

class Packed : public testing::TestWithParam<ModelFamily> {};

TEST_P(Packed, DocumentsTrainAsTheyDoApart) {
  const ModelConfig model = small_family(GetParam());
  std::vector<Batch> packed;
  std::vector<Batch> apart;
  deal(packed, apart, model.vocab);
  const TempFolder one;
  const TempFolder other;
  const Steps together = train(config_of(model, 1, one), packed);
  const Steps alone = train(config_of(model, static_cast<std::int64_t>(kDocuments.size()), other), apart);
  for (std::size_t i = 0; i < together.losses.size(); ++i) EXPECT_NEAR(together.losses[i], alone.losses[i], 2e-6 * alone.losses[i]) << i;
  for (std::size_t i = 0; i < together.norms.size(); ++i) EXPECT_NEAR(together.norms[i], alone.norms[i], 1e-5 * alone.norms[i]) << i;

  // One row as one document is something else.
  std::vector<Batch> joined = packed;
  for (Batch& batch : joined) batch.starts.clear();
  const TempFolder third;
  EXPECT_GT(std::abs(train(config_of(model, 1, third), joined).losses[0] - together.losses[0]), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Families, Packed, testing::Values(ModelFamily::gpt2, ModelFamily::llama, ModelFamily::mistral, ModelFamily::qwen3),
                         [](const auto& instance) { return std::string(word_of(instance.param)); });

// A caller goes on to the next batch while this one is computed.
TEST(PackedRows, BelongToTheStepThatWasSubmitted) {
  const ModelConfig model = small_llama();
  std::vector<Batch> packed;
  std::vector<Batch> apart;
  deal(packed, apart, model.vocab);
  const TempFolder folder;
  const Steps expected = train(config_of(model, 1, folder), packed);
  const TempFolder other;
  const Config config = config_of(model, 1, other);
  Trainer trainer(models::make(config.model), config);
  Batch batch = packed[0];
  trainer.submit(batch);
  for (std::size_t step = 0; step < packed.size(); ++step) {
    for (std::vector<std::int32_t>& row : batch.starts) row.assign({0, 1, 2});
    if (step + 1 < packed.size()) {
      batch = packed[step + 1];
      trainer.submit(batch);
    }
    for (std::vector<std::int32_t>& row : batch.starts) row.clear();
    EXPECT_EQ(trainer.wait().loss, expected.losses[step]) << step;
  }
}

TEST(PackedRows, ThatAreNoneAreRefused) {
  const TempFolder folder;
  const Config config = config_of(small_llama(), 1, folder);
  Trainer trainer(models::make(config.model), config);
  std::vector<Batch> packed;
  std::vector<Batch> apart;
  deal(packed, apart, config.model.vocab);
  for (const std::vector<std::vector<std::int32_t>>& starts :
       {std::vector<std::vector<std::int32_t>>{{0}}, {{0}, {1}}, {{0}, {}}, {{0, 5, 5}, {0}}, {{0, kLength}, {0}}}) {
    Batch batch = packed[0];
    batch.starts = starts;
    EXPECT_THROW(trainer.step(batch), Error);
  }
}

}  // namespace
}  // namespace gsnake::test
