// A walk through a program's graphs on a machine that is described by numbers, in made-up time. Follows the executor's rules: lanes in order,
// ready-queues by priority, bounded work in flight, two graphs at a time. Tasks that need the same thing at the same time slow one another.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "schedule/graph.h"
#include "sim/machine.h"

namespace gsnake::sim {

using schedule::Graph;
using schedule::Program;
using schedule::TaskId;
using schedule::Variant;

// One graph of a walk.
struct Stop {
  Variant variant = Variant::train;
  schedule::Conditions conditions{};
};

// How other systems differ from this one, beside their graphs.
struct Rules {
  bool drains = false;           // a graph begins when the one before has ended
  bool reads_state_late = false;  // what an update of this step reads beside the weights is fetched from the turn on
};

struct Place {
  std::int32_t graph = -1;
  TaskId task = -1;
};

struct SimulatedTask {
  double begin = 0.0;  // seconds
  double end = 0.0;
  bool carried_out = true;
  // What it began behind: the task that ended last of those it waits for or, on its lane, of those before it. Nothing: the start.
  Place after{};
};

struct SimulatedGraph {
  const Graph* graph = nullptr;
  std::vector<SimulatedTask> tasks;  // by id
  [[nodiscard]] double first_begin(Lane lane) const;
  [[nodiscard]] double last_end(Lane lane) const;
  // When its losses are known.
  [[nodiscard]] double results_at() const;
};

std::vector<SimulatedGraph> simulate(const Program& program, const std::vector<Stop>& walk, const Machine& machine, const Rules& rules = {});

}  // namespace gsnake::sim
