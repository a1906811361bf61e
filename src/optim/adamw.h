// The constants of an AdamW step, in the public part of the module because whoever checks an update needs the same ones.
#pragma once

#include <cstdint>

namespace gsnake::optim {

// What is the same for every element of one step. Derived in double, rounded to float once.
struct AdamWStep {
  float learning_rate = 0.0F;  // for reports: the recurrence uses step_size and decay_factor
  float beta1 = 0.9F;          // for reports: the recurrence uses one_minus_beta1
  float beta2 = 0.95F;
  float one_minus_beta1 = 0.1F;
  float one_minus_beta2 = 0.05F;
  float step_size = 0.0F;              // learning_rate / (1 - beta1^t)
  float inverse_sqrt_correction2 = 0;  // 1 / sqrt(1 - beta2^t)
  float epsilon = 1e-8F;
  float decay_factor = 1.0F;  // 1 - learning_rate * weight_decay, for the elements that decay
};

struct AdamWHyper {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

// `t` counts updates from 1 (skipped steps do not count).
AdamWStep make_adamw_step(const AdamWHyper& hyper, double learning_rate, std::int64_t t);

}  // namespace gsnake::optim
