// What a config asks of the numbers of a run: how they are stored, and what an update waits for.
#pragma once

#include <string>

#include "greedysnake/config.h"
#include "optim/optimizer.h"
#include "optim/step_policy.h"
#include "schedule/problem.h"

namespace gsnake::plan {

struct Numerics {
  optim::OptimizerSpec optimizer;
  schedule::Guard guard = schedule::Guard::none;
  double delay = 0.0;          // before rounding to grains
  std::string guard_reason;    // why it is not what was asked for; empty where it is
  optim::Policy policy;
  optim::StepCounters counters;  // of a new run
};

// Clipping and skipping wait for the gradient norm: deferred, or speculative where that was asked for (by clipping_mode, or by a delay below 1)
// and can be had. Throws Error(usage) for what excludes one another.
Numerics numerics_of(const Config& config);

// For reports: "bf16 weights with a 16-bit remainder of the master, fp32 moments (adamw)".
std::string describe_formats(const Numerics& numerics);
// "updates wait for the gradient norm (deferred)", and why; empty without a guard.
std::string describe_guard(const Numerics& numerics);

}  // namespace gsnake::plan
