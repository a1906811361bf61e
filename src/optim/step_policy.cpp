#include "optim/step_policy.h"

#include <algorithm>
#include <cmath>

namespace gsnake::optim {
namespace {

constexpr double kScaleStep = 2.0;

StepCounters next(const Policy& policy, const StepCounters& before, bool finite) {
  StepCounters after = before;
  if (finite) {
    ++after.updates;
    ++after.good_steps;
  } else {
    after.good_steps = 0;
  }
  if (!policy.dynamic_scale) return after;
  if (!finite) after.loss_scale /= kScaleStep;
  if (after.good_steps < policy.growth_interval) return after;
  if (std::isfinite(static_cast<float>(after.loss_scale * kScaleStep))) after.loss_scale *= kScaleStep;  // it is fp32 on the device
  after.good_steps = 0;
  return after;
}

}  // namespace

StepScalars unclipped(const Policy& policy, const StepCounters& before) {
  return {policy.learning_rate(before.updates), before.updates + 1, static_cast<float>(1.0 / before.loss_scale)};
}

Verdict judge(const Policy& policy, const StepCounters& before, double scaled_norm, bool losses_finite) {
  Verdict verdict;
  verdict.gradient_norm = scaled_norm / before.loss_scale;
  verdict.finite = losses_finite && std::isfinite(verdict.gradient_norm);
  verdict.loss_scale = before.loss_scale;
  verdict.scalars = unclipped(policy, before);
  if (policy.clip_norm > 0.0 && verdict.finite) {
    const double factor = std::min(1.0, policy.clip_norm / (verdict.gradient_norm + 1e-6));
    verdict.scalars.gradient_factor = static_cast<float>(factor / before.loss_scale);
  }
  verdict.after = next(policy, before, verdict.finite);
  return verdict;
}

}  // namespace gsnake::optim
