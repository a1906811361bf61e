#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bound_unit.h"
#include "reference_runs.h"

namespace gsnake::reference {
namespace {

using test::small_gpt2;
using test::small_llama;

Options options_of(Order order = Order::ascending) {
  Options options;
  options.head_chunk = 20;
  options.order = order;
  return options;
}

bool same_weights(const ReferenceLoop& a, const ReferenceLoop& b) {
  for (std::int64_t unit = 0; unit < a.units(); ++unit) {
    if (!torch::equal(a.weights(unit), b.weights(unit))) return false;
  }
  return true;
}

// Adam divides a gradient by its own size: where the gradient is rounding alone (the key's bias, which softmax cannot see; a weight that
// step 1 happens to leave flat), two correct programs differ by as much as an update. Epsilon is therefore put above the rounding of
// the gradients and the learning rate warms up; at 1e-8 and without, the key's bias differs by 4e-4, some matrices by 7e-5.
constexpr double kEpsilon = 1e-6;
constexpr double kLearningRate = 2e-3;
constexpr double kWarmupSteps = 5.0;

void expect_agreement(const ModelConfig& config, Order order) {
  torch::set_num_threads(2);
  Options options = options_of(order);
  options.hyper.epsilon = kEpsilon;
  ReferenceLoop loop(models::make(config), options);
  const auto start = named_weights(loop);
  PlainOptimizer hyper;
  hyper.epsilon = kEpsilon;
  PlainModel plain(config, start, hyper);
  for (std::uint64_t step = 1; step <= 20; ++step) {
    const auto batches = some_batches(config, 3, step);
    const auto pairs = pairs_of(batches);
    const double learning_rate = kLearningRate * std::min(1.0, static_cast<double>(step) / kWarmupSteps);
    const double expected = plain.step(pairs, learning_rate).loss;
    EXPECT_NEAR(loop.step(batches, learning_rate).loss, expected, 1e-6 * expected) << "step " << step;
  }
  const auto weights = named_weights(loop);
  ASSERT_EQ(weights.size(), plain.parameters().size());
  for (const auto& [name, value] : plain.parameters()) {
    const torch::NoGradGuard no_grad;
    EXPECT_LE(update_error(weights.at(name), value, start.at(name)), 1e-5) << name;
  }
}

TEST(ReferenceLoop, AgreesWithAPlainGpt2AndTorchsAdamW) { expect_agreement(small_gpt2(), Order::snake); }

TEST(ReferenceLoop, AgreesWithAPlainUntiedGpt2) {
  ModelConfig config = small_gpt2();
  config.tie_embeddings = false;
  expect_agreement(config, Order::ascending);
}

TEST(ReferenceLoop, AgreesWithAPlainGroupedQueryLlama) { expect_agreement(small_llama(), Order::ascending); }

TEST(ReferenceLoop, AgreesWithAPlainTiedLlama) {
  ModelConfig config = small_llama(4);
  config.kv_heads = 4;
  config.tie_embeddings = true;
  expect_agreement(config, Order::snake);
}

TEST(ReferenceLoop, GivesTheSameBitsTwice) {
  const ModelConfig config = small_gpt2(0.1);
  ReferenceLoop first(models::make(config), options_of());
  ReferenceLoop second(models::make(config), options_of());
  for (std::uint64_t step = 1; step <= 3; ++step) {
    const auto batches = some_batches(config, 2, step);
    EXPECT_EQ(first.step(batches, 1e-3).loss, second.step(batches, 1e-3).loss);
  }
  EXPECT_TRUE(same_weights(first, second));
}

TEST(ReferenceLoop, OrderOfMicroBatchesIsPartOfTheMathsFromThreeOn) {
  const ModelConfig config = small_gpt2();
  for (const std::size_t count : {1U, 3U}) {
    ReferenceLoop ascending(models::make(config), options_of());
    ReferenceLoop snake(models::make(config), options_of(Order::snake));
    const auto batches = some_batches(config, count, 1);
    EXPECT_EQ(ascending.step(batches, 1e-3).loss, snake.step(batches, 1e-3).loss);
    EXPECT_EQ(same_weights(ascending, snake), count == 1);
  }
}

TEST(ReferenceLoop, ValidationGivesTheTrainingLossWithoutDropoutAndChangesNothing) {
  const ModelConfig config = small_llama();
  ReferenceLoop loop(models::make(config), options_of());
  const auto before = named_weights(loop);
  const auto batches = some_batches(config, 3, 1);
  const double validation = loop.validation_loss(batches);
  for (const auto& [name, value] : named_weights(loop)) EXPECT_TRUE(torch::equal(value, before.at(name))) << name;
  EXPECT_EQ(validation, loop.step(batches, 1e-3).loss);
}

TEST(ReferenceLoop, GradNormCountsATiedWeightOnce) {
  const ModelConfig config = small_gpt2();
  ReferenceLoop loop(models::make(config), options_of());
  const auto start = named_weights(loop);
  const auto batches = some_batches(config, 1, 1);
  const double norm = loop.step(batches, 1e-3).grad_norm;
  PlainModel plain(config, start, {});
  plain.step({{batches[0].ids, batches[0].labels}}, 1e-3);
  double squares = 0.0;
  for (const auto& [name, value] : plain.parameters()) squares += value.grad().square().sum().item<double>();
  EXPECT_NEAR(norm, std::sqrt(squares), 1e-5 * norm);
}

TEST(ReferenceLoop, IgnoredLabelsLeaveTheMeanAndPaddingStaysZero) {
  ModelConfig config = small_gpt2();
  config.vocab = 99;
  ReferenceLoop loop(models::make(config), options_of());
  auto batches = some_batches(config, 2, 1);
  batches[1].labels.fill_(kIgnoredLabel);
  ReferenceLoop alone(models::make(config), options_of());
  EXPECT_EQ(loop.validation_loss(batches), alone.validation_loss(std::span(batches).first(1)));
  loop.step(batches, 1e-3);
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) {
    torch::Tensor rest = loop.weights(unit).clone();
    for (const torch::Tensor& view : model::views(rest.data_ptr<float>(), loop.layout(unit))) view.zero_();
    EXPECT_EQ(rest.abs().max().item<float>(), 0.0F);
  }
}

}  // namespace
}  // namespace gsnake::reference
