// AdamW written independently, in double, with the textbook's order of operations.
#include <array>
#include <cmath>

#include "optim/support.h"

namespace gsnake::optim::test {
namespace {

struct Constants {
  double beta2, one_minus_beta1, one_minus_beta2, step_size, inverse_sqrt_correction2, epsilon, decay_factor;
};

Constants exact_constants(const AdamWHyper& hyper, double rate, int t) {
  const double correction1 = 1.0 - std::pow(hyper.beta1, t);
  const double correction2 = 1.0 - std::pow(hyper.beta2, t);
  return {hyper.beta2,
          1.0 - hyper.beta1,
          1.0 - hyper.beta2,
          rate / correction1,
          1.0 / std::sqrt(correction2),
          hyper.epsilon,
          1.0 - rate * hyper.weight_decay};
}

// As fp32 arithmetic has them, torch's included.
Constants rounded_constants(const AdamWHyper& hyper, double rate, int t) {
  const AdamWStep step = make_adamw_step(hyper, rate, t);
  return {step.beta2,   step.one_minus_beta1, step.one_minus_beta2, step.step_size, step.inverse_sqrt_correction2,
          step.epsilon, step.decay_factor};
}

struct DoubleState {
  std::vector<double> weight, m, v;

  void update(const Constants& c, std::span<const float> gradient) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const double g = gradient[i];
      weight[i] *= c.decay_factor;
      m[i] += c.one_minus_beta1 * (g - m[i]);
      v[i] = c.beta2 * v[i] + c.one_minus_beta2 * g * g;
      weight[i] -= c.step_size * m[i] / (std::sqrt(v[i]) * c.inverse_sqrt_correction2 + c.epsilon);
    }
  }
};

// ||actual - expected|| / ||expected - start||: the error relative to how far the weights have moved.
double update_error(std::span<const float> actual, std::span<const double> expected, std::span<const float> start) {
  double error = 0.0;
  double moved = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    error += std::pow(actual[i] - expected[i], 2);
    moved += std::pow(expected[i] - start[i], 2);
  }
  return std::sqrt(error / moved);
}

// The worst update_error() of 200 steps of gradients that share a drift, so that the moments carry a signal. Weights start at zero, which
// keeps the rounding of the weight itself (2^-24 of a weight a step, whatever the optimizer) from hiding the recurrence's own error.
double worst_error(const AdamWHyper& hyper, Constants (*constants)(const AdamWHyper&, double, int)) {
  constexpr std::size_t kSize = 2 * kNormBlock;
  constexpr double kRate = 1e-3;
  const std::array runs{DecayRun{0, kSize, true}};
  State state{std::vector<float>(kSize), std::vector<float>(kSize), std::vector<float>(kSize), {}};
  const std::vector<float> start = state.weight;
  DoubleState reference{std::vector<double>(kSize), std::vector<double>(kSize), std::vector<double>(kSize)};
  const std::vector<float> drift = normal_values(kSize, 1e-2F, 1);
  double worst = 0.0;
  for (int t = 1; t <= 200; ++t) {
    state.gradient = normal_values(kSize, 1e-2F, static_cast<std::uint32_t>(t + 1));
    for (std::size_t i = 0; i < kSize; ++i) state.gradient[i] += drift[i];
    adamw_update(make_adamw_step(hyper, kRate, t), state.chunk(0, kSize, runs));
    reference.update(constants(hyper, kRate, t), state.gradient);
    worst = std::max(worst, update_error(state.weight, reference.weight, start));
  }
  return worst;
}

constexpr AdamWHyper kLanguageModel{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1};
constexpr AdamWHyper kTorchDefaults{.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};

TEST(AdamWAgainstDouble, RecurrenceAgreesToRoundingOver200Steps) {
  EXPECT_LT(worst_error(kLanguageModel, rounded_constants), 5e-7);
  EXPECT_LT(worst_error(kTorchDefaults, rounded_constants), 5e-7);
}

// float(0.999) is off by 1.3e-8, which is 1.3e-5 of 1 - 0.999; 1 - rate * decay is rounded once a step.
TEST(AdamWAgainstDouble, RoundedConstantsCostAtMostOnePartIn100000) {
  EXPECT_LT(worst_error(kLanguageModel, exact_constants), 1e-5);
  EXPECT_LT(worst_error(kTorchDefaults, exact_constants), 1e-5);
}

TEST(AdamWStepTest, IsDerivedInDoubleAndRoundedOnce) {
  const AdamWStep step = make_adamw_step({.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.1}, 3e-4, 3);
  EXPECT_EQ(step.learning_rate, 3e-4F);
  EXPECT_EQ(step.one_minus_beta2, static_cast<float>(1.0 - 0.999));
  EXPECT_NE(step.one_minus_beta2, 1.0F - 0.999F);
  EXPECT_FLOAT_EQ(step.step_size, static_cast<float>(3e-4 / (1.0 - 0.9 * 0.9 * 0.9)));
  EXPECT_FLOAT_EQ(step.inverse_sqrt_correction2, static_cast<float>(1.0 / std::sqrt(1.0 - 0.999 * 0.999 * 0.999)));
  EXPECT_EQ(step.decay_factor, static_cast<float>(1.0 - 3e-4 * 0.1));
}

TEST(AdamWStepTest, FirstUpdateMovesEachWeightByTheLearningRateAgainstItsGradient) {
  State state{{1.0F, 1.0F}, {0.0F, 0.0F}, {0.0F, 0.0F}, {0.5F, -2.0F}};
  const std::array runs{DecayRun{0, 1, true}, DecayRun{1, 2, false}};
  adamw_update(make_adamw_step({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 0.0, .weight_decay = 0.5}, 0.25, 1), state.chunk(0, 2, runs));
  EXPECT_FLOAT_EQ(state.weight[0], 1.0F * (1.0F - 0.25F * 0.5F) - 0.25F);
  EXPECT_FLOAT_EQ(state.weight[1], 1.0F + 0.25F);
}

}  // namespace
}  // namespace gsnake::optim::test
