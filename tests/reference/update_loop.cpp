#include "reference/update_loop.h"

#include <cmath>

#include "reference/numbers.h"

namespace gsnake::reference {
namespace {

struct Element {
  float w = 0.0F;
  float m = 0.0F;
  float v = 0.0F;
};

// Shared by every element; rounded to fp32 once.
struct Scalars {
  optim::AdamWStep adam;
  float beta1 = 0.0F;
  float one_minus_beta1 = 0.0F;
  float one_minus_beta2 = 0.0F;
  float learning_rate = 0.0F;
  float decay_factor = 1.0F;  // decoupled: of the weight
  float l2 = 0.0F;            // of the weight, in the gradient
};

Scalars scalars_of(const UpdateOptions& options, const UpdateStep& step, bool decays) {
  const optim::AdamWHyper& hyper = options.hyper;
  Scalars scalars;
  scalars.adam = optim::make_adamw_step(hyper, step.learning_rate, step.updates);
  scalars.beta1 = static_cast<float>(hyper.beta1);
  scalars.one_minus_beta1 = static_cast<float>(1.0 - hyper.beta1);
  scalars.one_minus_beta2 = static_cast<float>(1.0 - hyper.beta2);
  scalars.learning_rate = static_cast<float>(step.learning_rate);
  if (decays) {
    scalars.decay_factor = static_cast<float>(1.0 - step.learning_rate * hyper.weight_decay);
    scalars.l2 = static_cast<float>(hyper.weight_decay);
  }
  return scalars;
}

void adam(const Scalars& s, float g, float decay_factor, Element& e) {
  e.m = std::fma(s.adam.one_minus_beta1, g - e.m, e.m);
  e.v = std::fma(s.adam.one_minus_beta2 * g, g, s.adam.beta2 * e.v);
  const float denominator = std::fma(std::sqrt(e.v), s.adam.inverse_sqrt_correction2, s.adam.epsilon);
  const float kept = e.w * decay_factor;
  e.w = std::fma(-s.adam.step_size, e.m / denominator, kept);
}

void lion(const Scalars& s, float g, Element& e) {
  const float blend = std::fma(s.one_minus_beta1, g - e.m, e.m);
  const float sign = blend == 0.0F ? blend : std::copysign(1.0F, blend);
  const float kept = e.w * s.decay_factor;
  e.w = std::fma(-s.learning_rate, sign, kept);
  e.m = std::fma(s.one_minus_beta2, g - e.m, e.m);
}

void sgd(const Scalars& s, float g, Element& e) {
  e.m = std::fma(s.beta1, e.m, g);
  e.w = std::fma(-s.learning_rate, e.m, e.w);
}

void update(Rule rule, const Scalars& s, float g, Element& e) {
  switch (rule) {
    case Rule::adamw:
      return adam(s, g, s.decay_factor, e);
    case Rule::adam:
      return adam(s, std::fma(s.l2, e.w, g), 1.0F, e);
    case Rule::lion:
      return lion(s, g, e);
    case Rule::sgd:
      return sgd(s, std::fma(s.l2, e.w, g), e);
  }
}

}  // namespace

void update_loop(const UpdateOptions& options, const UpdateStep& step, bool decays, const UpdateSpans& spans) {
  const Scalars scalars = scalars_of(options, step, decays);
  for (std::size_t i = 0; i < spans.weight.size(); ++i) {
    Element element{spans.weight[i], spans.moment1[i], spans.moment2[i]};
    update(options.rule, scalars, spans.gradient[i] * step.gradient_factor, element);
    spans.weight[i] = element.w;
    spans.moment1[i] = options.bf16_moments ? nearest_even_bf16(element.m) : element.m;
    spans.moment2[i] = options.bf16_moments ? nearest_even_bf16(element.v) : element.v;
  }
}

}  // namespace gsnake::reference
