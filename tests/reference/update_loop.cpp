#include "reference/adamw_loop.h"

#include <cmath>

namespace gsnake::reference {

void adamw_loop(const optim::AdamWStep& step, bool decays, const AdamWSpans& spans) {
  const float decay = decays ? step.decay_factor : 1.0F;
  for (std::size_t i = 0; i < spans.weight.size(); ++i) {
    const float g = spans.gradient[i];
    const float mean = std::fma(step.one_minus_beta1, g - spans.moment1[i], spans.moment1[i]);
    const float square = std::fma(step.one_minus_beta2 * g, g, step.beta2 * spans.moment2[i]);
    const float denominator = std::fma(std::sqrt(square), step.inverse_sqrt_correction2, step.epsilon);
    const float decayed = spans.weight[i] * decay;
    spans.weight[i] = std::fma(-step.step_size, mean / denominator, decayed);
    spans.moment1[i] = mean;
    spans.moment2[i] = square;
  }
}

}  // namespace gsnake::reference
