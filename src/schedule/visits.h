// The schedules: in which order units and micro-batches are computed. All data movement follows from it (step.cpp).
#pragma once

#include <vector>

#include "schedule/problem.h"

namespace gsnake::schedule {

enum class Pass : std::uint8_t { forward, head, backward };

// One unit, for as long as its weights stay on the device.
struct Visit {
  Pass pass = Pass::forward;
  int unit = 0;
  std::vector<int> micro_batches;  // in the order in which they are computed
};

// All micro-batches of a unit, then the next unit: forward up, the head (forward and backward of each micro-batch), backward down to the
// first unit that uses a trained object: nobody asks for the gradients of those below.
// With Order::snake each step starts ascending and turns at every visit.
std::vector<Visit> vertical_visits(const Problem& problem);
// A micro-batch through all units, then the next micro-batch: ZeRO-Infinity's order.
std::vector<Visit> horizontal_visits(const Problem& problem);

std::vector<Visit> training_visits(const Problem& problem);
// Forward only, vertical whatever the schedule: no gradient is waiting for.
std::vector<Visit> forward_visits(const Problem& problem);

}  // namespace gsnake::schedule
