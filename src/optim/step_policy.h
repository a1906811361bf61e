// What becomes of a step once its losses and gradient norm are known: clipping, skipping, the loss scale.
#pragma once

#include <cstdint>
#include <functional>

#include "optim/optimizer.h"

namespace gsnake::optim {

// What carries over from step to step, and from run to run.
struct StepCounters {
  std::int64_t updates = 0;     // that were applied: the counter of the optimizer and of its learning rate
  double loss_scale = 1.0;      // of the next step
  std::int64_t good_steps = 0;  // since the loss scale last changed
};

// The same for every step.
struct Policy {
  std::function<double(std::int64_t updates)> learning_rate;  // of the update after so many; must not allocate
  double clip_norm = 0.0;                                     // 0: gradients are not clipped
  bool skips = false;                                         // a step that is not finite; else the run ends with it
  bool dynamic_scale = false;                                 // twice the loss scale after `growth_interval` good steps, half after a bad one
  std::int64_t growth_interval = 2000;
};

struct Verdict {
  bool finite = true;
  double gradient_norm = 0.0;  // L2, without the loss scale, before clipping
  double loss_scale = 1.0;     // of the step
  StepScalars scalars;  // of its update
  StepCounters after;
};

// Of a step whose gradients, multiplied by before.loss_scale, have the norm `scaled_norm`. Clipping is torch.nn.utils.clip_grad_norm_'s: a
// factor of min(1, limit / (norm + 1e-6)); the loss scale is torch.amp.GradScaler's.
Verdict judge(const Policy& policy, const StepCounters& before, double scaled_norm, bool losses_finite);
// Of an update that is made before that is known: as if nothing were clipped.
StepScalars unclipped(const Policy& policy, const StepCounters& before);

}  // namespace gsnake::optim
