// The recurrences written independently, in double, with the textbook's order of operations.
#include <array>
#include <cmath>

#include "optim/adamw.h"
#include "optim/support.h"

namespace gsnake::optim::test {
namespace {

struct Constants {
  double beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, inverse_sqrt_correction2, epsilon, decay, rate;
};

Constants exact_constants(const OptimizerSpec& spec, double rate, int t) {
  const double correction1 = 1.0 - std::pow(spec.beta1, t);
  const double correction2 = 1.0 - std::pow(spec.beta2, t);
  return {spec.beta1,        spec.beta2, 1.0 - spec.beta1, 1.0 - spec.beta2, rate / correction1, 1.0 / std::sqrt(correction2), spec.epsilon,
          spec.weight_decay, rate};
}

// As fp32 arithmetic has them, torch's included.
Constants rounded_constants(const OptimizerSpec& spec, double rate, int t) {
  const AdamWStep step = make_adamw_step({spec.beta1, spec.beta2, spec.epsilon, spec.weight_decay}, rate, t);
  const auto round = [](double value) { return static_cast<double>(static_cast<float>(value)); };
  const double decay =
      spec.rule == UpdateRule::adamw || spec.rule == UpdateRule::lion ? (1.0 - round(1.0 - rate * spec.weight_decay)) / round(rate) : round(spec.weight_decay);
  return {step.beta1,   step.beta2, step.one_minus_beta1, step.one_minus_beta2, step.step_size, step.inverse_sqrt_correction2,
          step.epsilon, decay,      round(rate)};
}

struct DoubleState {
  std::vector<double> weight, m, v;

  void update(UpdateRule rule, const Constants& c, std::span<const float> gradient) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      if (rule == UpdateRule::adamw) adam(c, i, gradient[i], 1.0 - c.rate * c.decay);
      if (rule == UpdateRule::adam) adam(c, i, gradient[i] + c.decay * weight[i], 1.0);
      if (rule == UpdateRule::lion) lion(c, i, gradient[i]);
      if (rule == UpdateRule::sgd) sgd(c, i, gradient[i] + c.decay * weight[i]);
    }
  }

 private:
  void adam(const Constants& c, std::size_t i, double g, double kept) {
    weight[i] *= kept;
    m[i] += c.one_minus_beta1 * (g - m[i]);
    v[i] = c.beta2 * v[i] + c.one_minus_beta2 * g * g;
    weight[i] -= c.step_size * m[i] / (std::sqrt(v[i]) * c.inverse_sqrt_correction2 + c.epsilon);
  }
  // Chen et al., arXiv 2302.06675, algorithm 2.
  void lion(const Constants& c, std::size_t i, double g) {
    const double direction = (1.0 - c.one_minus_beta1) * m[i] + c.one_minus_beta1 * g;
    weight[i] -= c.rate * ((direction > 0.0 ? 1.0 : direction < 0.0 ? -1.0 : 0.0) + c.decay * weight[i]);
    m[i] = (1.0 - c.one_minus_beta2) * m[i] + c.one_minus_beta2 * g;
  }
  void sgd(const Constants& c, std::size_t i, double g) {
    m[i] = c.beta1 * m[i] + g;
    weight[i] -= c.rate * m[i];
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
double worst_error(const OptimizerSpec& spec, Constants (*constants)(const OptimizerSpec&, double, int)) {
  constexpr std::size_t kSize = 2 * kNormBlock;
  constexpr double kRate = 1e-3;
  const std::array runs{DecayRun{0, kSize, true}};
  State state(spec, Values::zero(kSize));
  const std::vector<float> start(kSize);
  DoubleState reference{std::vector<double>(kSize), std::vector<double>(kSize), std::vector<double>(kSize)};
  const std::vector<float> drift = normal_values(kSize, 1e-2F, 1);
  const auto optimizer = make_optimizer(spec);
  double worst = 0.0;
  for (int t = 1; t <= 200; ++t) {
    state.gradient = normal_values(kSize, 1e-2F, static_cast<std::uint32_t>(t + 1));
    for (std::size_t i = 0; i < kSize; ++i) state.gradient[i] += drift[i];
    EXPECT_TRUE(optimizer->update({kRate, t}, state.chunk(0, kSize, runs)));
    reference.update(spec.rule, constants(spec, kRate, t), state.gradient);
    worst = std::max(worst, update_error(state.masters(), reference.weight, start));
  }
  return worst;
}

OptimizerSpec language_model(UpdateRule rule) {
  return {.rule = rule, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1};
}
OptimizerSpec torch_defaults(UpdateRule rule) {
  return {.rule = rule, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};
}

TEST(AgainstDouble, EveryRuleAgreesToRoundingOver200Steps) {
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam, UpdateRule::sgd}) {
    EXPECT_LT(worst_error(language_model(rule), rounded_constants), 1e-6) << word_of(rule);
    EXPECT_LT(worst_error(torch_defaults(rule), rounded_constants), 1e-6) << word_of(rule);
  }
}

// Where Lion's direction is within rounding of zero its sign may differ: a whole step of one element in thousands.
TEST(AgainstDouble, LionAgreesButForRareSigns) {
  EXPECT_LT(worst_error(language_model(UpdateRule::lion), rounded_constants), 1e-4);
  EXPECT_LT(worst_error(torch_defaults(UpdateRule::lion), rounded_constants), 1e-4);
}

// float(0.999) is off by 1.3e-8, which is 1.3e-5 of 1 - 0.999; 1 - rate * decay is rounded once a step.
TEST(AgainstDouble, RoundedConstantsCostAtMostOnePartIn100000) {
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam}) {
    EXPECT_LT(worst_error(language_model(rule), exact_constants), 1e-5) << word_of(rule);
    EXPECT_LT(worst_error(torch_defaults(rule), exact_constants), 1e-5) << word_of(rule);
  }
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

std::vector<float> one_step(const OptimizerSpec& spec, double rate, std::vector<float> weights, std::vector<float> gradient) {
  const std::size_t size = weights.size();
  State state(spec, {std::move(weights), std::vector<float>(size), std::vector<float>(size), std::move(gradient)});
  const std::array runs{DecayRun{0, 1, true}};
  EXPECT_TRUE(make_optimizer(spec)->update({rate, 1}, state.chunk(0, size, runs)));
  return state.masters();
}

TEST(FirstUpdate, OfAdamWMovesEachWeightByTheLearningRateAgainstItsGradient) {
  const std::vector<float> after = one_step({.rule = UpdateRule::adamw, .epsilon = 0.0, .weight_decay = 0.5}, 0.25, {1.0F, 1.0F}, {0.5F, -2.0F});
  EXPECT_FLOAT_EQ(after[0], 1.0F * (1.0F - 0.25F * 0.5F) - 0.25F);
  EXPECT_FLOAT_EQ(after[1], 1.0F + 0.25F);
}

TEST(FirstUpdate, OfAdamTakesTheDecayIntoTheGradient) {
  // 0.5 - 0.75 * 1 is negative: the decay turns the direction around.
  const std::vector<float> after = one_step({.rule = UpdateRule::adam, .epsilon = 0.0, .weight_decay = 0.75}, 0.25, {-1.0F, -1.0F}, {0.5F, 0.5F});
  EXPECT_FLOAT_EQ(after[0], -1.0F + 0.25F);
  EXPECT_FLOAT_EQ(after[1], -1.0F - 0.25F);
}

TEST(FirstUpdate, OfLionMovesByTheSignAndLeavesWhatHasNoGradient) {
  const std::vector<float> after = one_step({.rule = UpdateRule::lion, .weight_decay = 0.5}, 0.25, {1.0F, 1.0F, 1.0F}, {1e-20F, -3.0F, 0.0F});
  EXPECT_EQ(after, (std::vector{1.0F - 0.125F - 0.25F, 1.25F, 1.0F}));
}

TEST(FirstUpdate, OfSgdMovesByTheGradient) {
  const std::vector<float> after = one_step({.rule = UpdateRule::sgd, .weight_decay = 0.5}, 0.25, {1.0F, 1.0F}, {2.0F, -4.0F});
  EXPECT_EQ(after, (std::vector{1.0F - 0.25F * 2.5F, 2.0F}));
}

// To nearest, ties to even: found by looking at both neighbours.
float nearest_bf16(float value) {
  const std::uint32_t below = std::bit_cast<std::uint32_t>(value) & 0xffff0000U;  // towards zero
  const double low = std::bit_cast<float>(below);
  const double high = std::bit_cast<float>(below + 0x10000U);
  const double to_low = std::fabs(value - low);
  const double to_high = std::fabs(high - value);
  const bool up = to_high < to_low || (to_high == to_low && (below & 0x10000U) != 0);
  return static_cast<float>(up ? high : low);
}

TEST(Bf16Moments, AreTheFp32OnesRoundedToNearestEvenAfterTheWeightHasUsedThem) {
  constexpr std::size_t kSize = 1 << 16;
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd}) {
    SCOPED_TRACE(word_of(rule));
    OptimizerSpec rounded{.rule = rule, .moments = MomentFormat::bf16};
    Values values = Values::ordinary(kSize, 5);
    for (std::vector<float>* moment : {&values.moment1, &values.moment2}) {
      for (float& value : *moment) value = nearest_bf16(value);
    }
    // Ties, which random values hardly hit: with beta1 = beta2 = 0 a moment becomes the gradient, or its square.
    rounded.beta1 = rounded.beta2 = 0.0;
    for (std::size_t i = 0; i < kSize; i += 2) {
      values.gradient[i] = std::bit_cast<float>((std::bit_cast<std::uint32_t>(values.gradient[i]) & 0xffff0000U) | 0x8000U);
    }
    OptimizerSpec plain = rounded;
    plain.moments = MomentFormat::fp32;
    State actual(rounded, values);
    State expected(plain, values);
    ASSERT_TRUE(make_optimizer(rounded)->update({1e-3, 1}, actual.chunk(0, kSize, {})));
    ASSERT_TRUE(make_optimizer(plain)->update({1e-3, 1}, expected.chunk(0, kSize, {})));
    expect_same(actual.masters(), expected.masters(), "master");
    for (std::size_t state = 0; state < actual.states.size(); ++state) {
      std::vector<float> moments = expected.moments(state);
      for (float& moment : moments) moment = nearest_bf16(moment);
      expect_same(actual.moments(state), moments, "moment");
    }
  }
}

}  // namespace
}  // namespace gsnake::optim::test
