#include "optim/rules.h"

#include "optim/adamw.h"

namespace gsnake::optim {
namespace {

RuleStep adam_step(const OptimizerSpec& spec, const StepScalars& scalars) {
  const AdamWStep adam = make_adamw_step({spec.beta1, spec.beta2, spec.epsilon, spec.weight_decay}, scalars.learning_rate, scalars.updates);
  RuleStep step;
  step.beta2 = adam.beta2;
  step.one_minus_beta1 = adam.one_minus_beta1;
  step.one_minus_beta2 = adam.one_minus_beta2;
  step.step_size = adam.step_size;
  step.inverse_sqrt_correction2 = adam.inverse_sqrt_correction2;
  step.epsilon = adam.epsilon;
  return step;
}

RuleStep momentum_step(const OptimizerSpec& spec, const StepScalars& scalars) {
  RuleStep step;
  step.beta1 = static_cast<float>(spec.beta1);
  step.one_minus_beta1 = static_cast<float>(1.0 - spec.beta1);
  step.one_minus_beta2 = static_cast<float>(1.0 - spec.beta2);
  step.step_size = static_cast<float>(scalars.learning_rate);
  return step;
}

}  // namespace

std::size_t state_count(UpdateRule rule) { return rule == UpdateRule::adamw || rule == UpdateRule::adam ? 2 : 1; }

RuleStep make_rule_step(UpdateRule rule, const OptimizerSpec& spec, const StepScalars& scalars) {
  RuleStep step = state_count(rule) == 2 ? adam_step(spec, scalars) : momentum_step(spec, scalars);
  const bool decoupled = rule == UpdateRule::adamw || rule == UpdateRule::lion;
  step.decay = static_cast<float>(decoupled ? 1.0 - scalars.learning_rate * spec.weight_decay : spec.weight_decay);
  step.no_decay = decoupled ? 1.0F : 0.0F;
  step.gradient_factor = scalars.gradient_factor;
  return step;
}

}  // namespace gsnake::optim
