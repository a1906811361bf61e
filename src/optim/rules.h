// The recurrences, and what is the same for every element of one step. For this module, and whoever computes the same elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "optim/optimizer.h"

namespace gsnake::optim {

inline constexpr std::size_t kRules = kWords<UpdateRule>.size();
inline constexpr std::size_t kWeightFormats = 3;
inline constexpr std::size_t kMomentFormats = 2;

// Derived in double, rounded to float once (docs/optimizer.md). A rule leaves at zero what it does not use.
struct RuleStep {
  float gradient_factor = 1.0F;
  float beta1 = 0.0F;
  float beta2 = 0.0F;
  float one_minus_beta1 = 0.0F;
  float one_minus_beta2 = 0.0F;
  float step_size = 0.0F;
  float inverse_sqrt_correction2 = 0.0F;
  float epsilon = 0.0F;
  float decay = 0.0F;  // for elements that decay: a factor of the weight (adamw, lion), or the weight's factor in the gradient (adam, sgd)
  float no_decay = 0.0F;  // for the others
};

std::size_t state_count(UpdateRule rule);
RuleStep make_rule_step(UpdateRule rule, const OptimizerSpec& spec, const StepScalars& scalars);

}  // namespace gsnake::optim
