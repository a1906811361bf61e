#include "optim/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gsnake::optim {
namespace {

constexpr std::int64_t kStableParts = 5;  // wsd decays over one part in so many

double ratio(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

}  // namespace

double LearningRateSchedule::at(std::int64_t k) const {
  if (k < warmup_steps) return peak * ratio(k + 1, warmup_steps);
  if (decay == Decay::constant) return peak;
  if (k >= decay_steps) return minimum;
  const double range = peak - minimum;
  if (decay == Decay::cosine) {
    const double progress = ratio(k - warmup_steps, decay_steps - warmup_steps);
    return minimum + range * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  }
  // Both ends of the slope are exact: progress 0 gives peak up to the rounding of range, and decay_steps is handled above.
  const std::int64_t wsd_start = std::max(warmup_steps, decay_steps - decay_steps / kStableParts);
  const std::int64_t start = decay == Decay::wsd ? wsd_start : warmup_steps;
  if (k <= start) return peak;
  return minimum + range * ratio(decay_steps - k, decay_steps - start);
}

}  // namespace gsnake::optim
