#include "optim/adamw.h"

#include <cmath>

namespace gsnake::optim {

AdamWStep make_adamw_step(const AdamWHyper& hyper, double learning_rate, std::int64_t t) {
  const auto updates = static_cast<double>(t);
  AdamWStep step;
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = static_cast<float>(hyper.beta1);
  step.beta2 = static_cast<float>(hyper.beta2);
  step.one_minus_beta1 = static_cast<float>(1.0 - hyper.beta1);
  step.one_minus_beta2 = static_cast<float>(1.0 - hyper.beta2);
  step.step_size = static_cast<float>(learning_rate / (1.0 - std::pow(hyper.beta1, updates)));
  step.inverse_sqrt_correction2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(hyper.beta2, updates)));
  step.epsilon = static_cast<float>(hyper.epsilon);
  step.decay_factor = static_cast<float>(1.0 - learning_rate * hyper.weight_decay);
  return step;
}

}  // namespace gsnake::optim
