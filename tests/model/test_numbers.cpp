// The reference's own arithmetic: roundings, sums, recurrences and the loss scale.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "bound_unit.h"
#include "reference/numbers.h"
#include "reference_runs.h"

namespace gsnake::reference {
namespace {

float widened(std::uint16_t bf16) { return std::bit_cast<float>(static_cast<std::uint32_t>(bf16) << 16U); }

TEST(Numbers, ComputeWeightIsTheNearestBf16AndTiesGoAwayFromZero) {
  EXPECT_EQ(widened(compute_weight_bf16(1.0F)), 1.0F);
  EXPECT_EQ(widened(compute_weight_bf16(0x1.0100p0F)), 0x1.02p0F);  // a tie below an odd neighbour
  EXPECT_EQ(widened(compute_weight_bf16(0x1.0300p0F)), 0x1.04p0F);  // a tie below an even one
  EXPECT_EQ(widened(compute_weight_bf16(-0x1.0100p0F)), -0x1.02p0F);
  EXPECT_EQ(widened(compute_weight_bf16(0x1.00fffep0F)), 1.0F);
  EXPECT_EQ(widened(compute_weight_bf16(-0.0F)), 0.0F);
}

TEST(Numbers, StoredMomentIsTorchsCast) {
  model::seed_unit(1, 2, 3, 4);
  torch::Tensor values = torch::randn(4096);
  values[0] = 0x1.01p0F;
  values[1] = 0x1.03p0F;
  const torch::Tensor cast = values.to(torch::kBFloat16).to(torch::kFloat32);
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    ASSERT_EQ(nearest_even_bf16(values[i].item<float>()), cast[i].item<float>());
  }
}

// One tensor, 30 updates with the gradients 2 x and the factor 0.5, against an optimizer of torch with the gradients x.
template <typename Optimizer, typename OptimizerOptions>
void expect_torchs(Rule rule, const OptimizerOptions& torch_options) {
  model::seed_unit(1, 2, 3, 4);
  const torch::Tensor start = torch::randn(500);
  torch::Tensor parameter = start.clone().requires_grad_();
  Optimizer optimizer(std::vector<torch::Tensor>{parameter}, torch_options);
  torch::Tensor weight = start.clone();
  torch::Tensor moment1 = torch::zeros(500);
  torch::Tensor moment2 = torch::zeros(500);
  const auto span = [](torch::Tensor& tensor) { return std::span(tensor.data_ptr<float>(), 500); };
  for (std::int64_t t = 1; t <= 30; ++t) {
    torch::Tensor gradient = torch::randn(500);
    parameter.mutable_grad() = gradient.clone();
    optimizer.step();
    gradient.mul_(2.0);
    const UpdateOptions options{rule, {0.9, 0.95, 1e-8, 0.1}};
    update_loop(options, {1e-2, t, 0.5F}, true, {span(weight), span(moment1), span(moment2), span(gradient)});
  }
  const torch::NoGradGuard no_grad;
  EXPECT_LE(update_error(weight, parameter, start), 1e-6);
}

TEST(UpdateLoop, AgreesWithTorchsOptimizers) {
  expect_torchs<torch::optim::AdamW>(Rule::adamw, torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).weight_decay(0.1));
  expect_torchs<torch::optim::Adam>(Rule::adam, torch::optim::AdamOptions(1e-2).betas({0.9, 0.95}).weight_decay(0.1));
  expect_torchs<torch::optim::SGD>(Rule::sgd, torch::optim::SGDOptions(1e-2).momentum(0.9).weight_decay(0.1));
}

TEST(UpdateLoop, LionMovesByTheLearningRateTowardsTheBlendsSign) {
  std::array<float, 3> weight{1.0F, 1.0F, 1.0F};
  std::array<float, 3> moment{0.5F, -0.5F, 0.0F};
  std::array<float, 3> unused{};
  const std::array<float, 3> gradient{-1.0F, 8.0F, 0.0F};
  // Blends 0.9 m + 0.1 g: 0.35, 0.35, 0.
  update_loop({Rule::lion, {0.9, 0.99, 0.0, 0.5}}, {0.1, 1, 1.0F}, true, {weight, moment, unused, gradient});
  EXPECT_FLOAT_EQ(weight[0], 0.95F - 0.1F);
  EXPECT_FLOAT_EQ(weight[1], 0.95F - 0.1F);
  EXPECT_FLOAT_EQ(weight[2], 0.95F);
  EXPECT_FLOAT_EQ(moment[0], 0.485F);
  EXPECT_FLOAT_EQ(moment[1], -0.415F);
}

TEST(UpdateLoop, Bf16MomentsAreRoundedAfterTheWeightHasMoved) {
  std::array<float, 2> weight{1.0F, 1.0F};
  std::array<float, 1> first{0.1F};
  std::array<float, 1> second{0.1F};
  std::array<float, 1> rounded_first{nearest_even_bf16(0.1F)};
  std::array<float, 1> rounded_second{nearest_even_bf16(0.1F)};
  const std::array<float, 1> gradient{0.3F};
  first = rounded_first;
  second = rounded_second;
  update_loop({Rule::adamw, {}, false}, {1e-2, 1, 1.0F}, true, {std::span(weight).first(1), first, second, gradient});
  update_loop({Rule::adamw, {}, true}, {1e-2, 1, 1.0F}, true, {std::span(weight).last(1), rounded_first, rounded_second, gradient});
  EXPECT_EQ(weight[0], weight[1]);
  EXPECT_EQ(rounded_first[0], nearest_even_bf16(first[0]));
  EXPECT_EQ(rounded_second[0], nearest_even_bf16(second[0]));
  EXPECT_NE(rounded_first[0], first[0]);
}

TEST(LossScale, DoublesAfterTheIntervalAndHalvesAtOnce) {
  LossScale scale({1024.0F, true, 3});
  for (const bool finite : {true, true, false, true, true}) scale.record(finite);
  EXPECT_EQ(scale.value(), 512.0F);
  scale.record(true);
  EXPECT_EQ(scale.value(), 1024.0F);
  LossScale fixed({1024.0F, false, 3});
  fixed.record(false);
  EXPECT_EQ(fixed.value(), 1024.0F);
}

Options options_in(at::ScalarType dtype) {
  Options options;
  options.dtype = dtype;
  options.head_chunk = 20;
  options.on_nonfinite = OnNonfinite::skip;
  return options;
}

TEST(ReferenceLoop, ASkippedStepLeavesEverythingButTheScaleAsItWas) {
  const ModelConfig config = test::small_gpt2();
  Options options = options_in(torch::kHalf);
  options.loss_scale.initial = 0x1p40F;
  ReferenceLoop loop(models::make(config), options);
  const auto before = named_weights(loop);
  const StepResult skipped = loop.step(some_batches(config, 2, 1), 1e-3);
  EXPECT_TRUE(skipped.skipped);
  EXPECT_FALSE(std::isfinite(skipped.grad_norm));
  EXPECT_TRUE(std::isfinite(skipped.loss));
  for (const auto& [name, value] : named_weights(loop)) EXPECT_TRUE(torch::equal(value, before.at(name))) << name;
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) EXPECT_EQ(loop.moment1(unit).abs().max().item<float>(), 0.0F);
  EXPECT_EQ(loop.updates(), 0);
  EXPECT_EQ(loop.loss_scale(), 0x1p39F);
  options.on_nonfinite = OnNonfinite::stop;
  ReferenceLoop stopping(models::make(config), options);
  EXPECT_THROW(stopping.step(some_batches(config, 2, 1), 1e-3), std::runtime_error);
  EXPECT_EQ(stopping.updates(), 0);
}

// With beta1 = 0 the first moment is the gradient that the update saw.
torch::Tensor gradient_seen(Options options, StepResult& result) {
  const ModelConfig config = test::small_gpt2();
  options.hyper.beta1 = 0.0;
  ReferenceLoop loop(models::make(config), options);
  result = loop.step(some_batches(config, 2, 1), 1e-3);
  return loop.moment1(1).clone();
}

TEST(ReferenceLoop, ClippingScalesTheGradientOnlyBeyondTheLimit) {
  StepResult plain;
  StepResult below;
  StepResult beyond;
  Options options = options_in(torch::kFloat32);
  const torch::Tensor gradient = gradient_seen(options, plain);
  options.gradient_clipping = 2.0 * plain.grad_norm;
  EXPECT_TRUE(torch::equal(gradient_seen(options, below), gradient));
  options.gradient_clipping = 0.25 * plain.grad_norm;
  const torch::Tensor clipped = gradient_seen(options, beyond);
  EXPECT_TRUE(torch::equal(clipped, gradient * beyond.gradient_factor));
  EXPECT_NEAR(beyond.gradient_factor, 0.25, 1e-5);
  EXPECT_EQ(beyond.grad_norm, plain.grad_norm);
}

TEST(ReferenceLoop, LossScaleChangesNothingBeyondFp16sRounding) {
  StepResult small;
  StepResult large;
  Options options = options_in(torch::kHalf);
  options.loss_scale = {1024.0F, false, 1};
  const torch::Tensor of_small = gradient_seen(options, small);
  options.loss_scale = {8192.0F, false, 1};
  const torch::Tensor of_large = gradient_seen(options, large);
  EXPECT_EQ(small.loss, large.loss);
  EXPECT_NEAR(small.grad_norm, large.grad_norm, 1e-3 * large.grad_norm);
  EXPECT_LE(((of_small - of_large).norm() / of_large.norm()).item<double>(), 2e-3);
}

TEST(ReferenceLoop, SixteenBitTrainingFollowsFp32) {
  const ModelConfig config = test::small_gpt2();
  ReferenceLoop wide(models::make(config), options_in(torch::kFloat32));
  Options native = options_in(torch::kBFloat16);
  native.compute = torch::kBFloat16;
  ReferenceLoop loops[] = {ReferenceLoop(models::make(config), options_in(torch::kBFloat16)), ReferenceLoop(models::make(config), native),
                           ReferenceLoop(models::make(config), options_in(torch::kHalf))};
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const auto batches = some_batches(config, 2, step);
    const double expected = wide.step(batches, 1e-3).loss;
    for (ReferenceLoop& loop : loops) EXPECT_NEAR(loop.step(batches, 1e-3).loss, expected, 5e-3 * expected);
  }
  // The master keeps what the compute weight has no digits for.
  EXPECT_FALSE(torch::equal(loops[0].weights(1), loops[0].weights(1).to(torch::kBFloat16).to(torch::kFloat32)));
}

}  // namespace
}  // namespace gsnake::reference
