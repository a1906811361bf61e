// The reference loop beside torch's own optimizer, clipping and gradient scaler, over 200 steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bound_unit.h"
#include "reference_runs.h"

namespace gsnake::reference {
namespace {

constexpr std::uint64_t kSteps = 200;
constexpr double kLearningRate = 1e-3;
constexpr double kWarmupSteps = 20.0;
constexpr double kEpsilon = 1e-6;  // above the rounding of gradients that ought to be zero (test_reference.cpp)

ModelConfig tiny_gpt2() {
  ModelConfig config = test::small_gpt2();
  config.hidden = 32;
  config.context = 16;
  config.vocab = 61;
  return config;
}

struct Case {
  at::ScalarType dtype = torch::kFloat32;
  double clipping = 0.0;
  float loss_scale = 65536.0F;
  std::int64_t growth_interval = 2000;
  double loss_bound = 0.0;    // relative, every step
  double update_bound = 0.0;  // of each tensor, in norms of its update, after the last step
};

// Another chunk sums the head's weight gradient in another order: how far rounding alone carries one program from itself.
constexpr std::int64_t kChunk = 20;
constexpr std::int64_t kOtherChunk = 12;
// torch's program may be this many times as far: it rounds differently everywhere.
constexpr double kAllowance = 4.0;

Options options_of(const Case& test, std::int64_t chunk) {
  Options options;
  options.head_chunk = chunk;
  options.hyper.epsilon = kEpsilon;
  options.dtype = test.dtype;
  options.gradient_clipping = test.clipping;
  options.loss_scale = {test.loss_scale, true, test.growth_interval};
  options.on_nonfinite = test.dtype == torch::kHalf ? OnNonfinite::skip : OnNonfinite::stop;
  return options;
}

PlainOptimizer plain_of(const Case& test) {
  PlainOptimizer plain;
  plain.epsilon = kEpsilon;
  plain.dtype = test.dtype;
  plain.gradient_clipping = test.clipping;
  plain.loss_scale = test.loss_scale;
  plain.growth_interval = test.growth_interval;
  return plain;
}

struct Outcome {
  std::int64_t clipped = 0;
  std::int64_t skipped = 0;
  double worst_loss = 0.0;
};

using Named = std::map<std::string, torch::Tensor>;

// Of the tensor that is furthest off, in norms of its own update.
double worst_update(const Named& weights, const Named& others, const Named& start) {
  const torch::NoGradGuard no_grad;
  double worst = 0.0;
  for (const auto& [name, value] : others) {
    // The key's bias: softmax cannot see it, so its gradient is rounding alone.
    if (!name.ends_with("c_attn.bias")) worst = std::max(worst, update_error(weights.at(name), value, start.at(name)));
  }
  return worst;
}

Outcome run(const Case& test) {
  torch::set_num_threads(1);
  const ModelConfig config = tiny_gpt2();
  ReferenceLoop loop(models::make(config), options_of(test, kChunk));
  ReferenceLoop other(models::make(config), options_of(test, kOtherChunk));
  const auto start = named_weights(loop);
  PlainModel plain(config, start, plain_of(test));
  Outcome outcome;
  for (std::uint64_t step = 1; step <= kSteps; ++step) {
    const auto batches = some_batches(config, 2, step % 8);
    const double learning_rate = kLearningRate * std::min(1.0, static_cast<double>(step) / kWarmupSteps);
    const StepResult result = loop.step(batches, learning_rate);
    other.step(batches, learning_rate);
    const PlainStep expected = plain.step(pairs_of(batches), learning_rate);
    EXPECT_EQ(result.skipped, expected.skipped) << "step " << step;
    EXPECT_EQ(result.loss_scale, expected.loss_scale) << "step " << step;
    if (test.clipping > 0.0 && !result.skipped) {
      EXPECT_NEAR(result.grad_norm, expected.grad_norm, 20.0 * test.loss_bound * expected.grad_norm);
      outcome.clipped += static_cast<std::int64_t>(result.grad_norm > test.clipping);
    }
    outcome.skipped += static_cast<std::int64_t>(result.skipped);
    outcome.worst_loss = std::max(outcome.worst_loss, std::abs(result.loss / expected.loss - 1.0));
  }
  const Named weights = named_weights(loop);
  const double apart = worst_update(weights, plain.parameters(), start);
  const double rounding = worst_update(weights, named_weights(other), start);
  EXPECT_LE(outcome.worst_loss, test.loss_bound);
  EXPECT_LE(apart, test.update_bound);
  EXPECT_LE(apart, kAllowance * rounding);
  std::printf("loss within %.1e, updates within %.1e; by rounding alone %.1e\n", outcome.worst_loss, apart, rounding);
  return outcome;
}

TEST(TwoHundredSteps, AgreeWithTorchsAdamWAndClipping) {
  const Outcome outcome = run({.clipping = 2.0, .loss_bound = 1e-5, .update_bound = 1e-4});
  EXPECT_GT(outcome.clipped, 10);
  EXPECT_LT(outcome.clipped, 190);
}

TEST(TwoHundredSteps, AgreeWithTorchsGradScalerInFp16) {
  const Outcome outcome = run({torch::kHalf, 2.0, 0x1p24F, 25, 2e-3, 5e-2});
  EXPECT_GT(outcome.skipped, 3);
  EXPECT_LT(outcome.skipped, 30);
}

TEST(TwoHundredSteps, AgreeWithTorchInBf16) { run({torch::kBFloat16, 0.0, 1.0F, 2000, 2e-2, 0.3}); }

}  // namespace
}  // namespace gsnake::reference
