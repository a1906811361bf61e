// The learning rate of every update: a warm-up, then one of four decays.
#pragma once

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::optim {

struct LearningRateSchedule {
  using Decay = LearningRateDecay;

  double peak = 0.0;
  double minimum = 0.0;  // of the decay; the warm-up starts below it where it must
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = 0;  // counts the warm-up; ignored by Decay::constant
  Decay decay = Decay::constant;

  // Of the update after `k` others, k >= 0 (skipped steps are not counted). With p = (k - warmup_steps) / (decay_steps - warmup_steps):
  //   k < warmup_steps          peak * (k + 1) / warmup_steps
  //   constant                  peak
  //   k >= decay_steps          minimum
  //   cosine                    minimum + (peak - minimum) * (1 + cos(pi p)) / 2    (Loshchilov & Hutter, arXiv 1608.03983, without
  //   restarts) linear                    minimum + (peak - minimum) * (1 - p) wsd (warm-up, stable, decay)  peak until the last fifth of
  //   decay_steps (decay_steps / 5, rounded down), then linear from peak to minimum over it
  //                             (Hu et al., arXiv 2404.06395)
  // Defined for all values: decay_steps <= warmup_steps goes from the warm-up straight to the minimum. Thread-safe.
  [[nodiscard]] double at(std::int64_t k) const;
};

}  // namespace gsnake::optim
