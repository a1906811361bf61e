// A step's constants as the optimizer has them, as its kernel takes them.
#pragma once

#include "kernels/optimizer_update.h"
#include "optim/rules.h"

namespace gsnake::kernels {

inline UpdateStep as_kernels_have_it(const optim::RuleStep& step) {
  return {step.gradient_factor, step.beta1, step.beta2, step.one_minus_beta1, step.one_minus_beta2, step.step_size, step.inverse_sqrt_correction2, step.epsilon, step.decay, step.no_decay};
}

}  // namespace gsnake::kernels
