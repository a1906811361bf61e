// A walk through a program's graphs on made-up hardware, in made-up time: what lanes do when nothing but their rates and the graph's edges
// hold them up. Follows the executor's rules: lanes in order, ready-queues by priority, bounded work in flight, two graphs at a time.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "schedule/graph.h"

namespace gsnake::sim {

using schedule::Graph;
using schedule::Lane;
using schedule::Program;
using schedule::TaskId;
using schedule::Variant;
using schedule::kLaneCount;

// What a lane gets through in a second: bytes, on the compute lane FLOPs. 0: all it is given, at once.
using Rates = std::array<double, kLaneCount>;

struct SimulatedTask {
  TaskId id = -1;
  double begin = 0.0;  // seconds
  double end = 0.0;
};

struct SimulatedGraph {
  const Graph* graph = nullptr;
  std::vector<SimulatedTask> tasks;  // by id
  [[nodiscard]] double first_begin(Lane lane) const;
  [[nodiscard]] double last_end(Lane lane) const;
};

std::vector<SimulatedGraph> simulate(const Program& program, const std::vector<Variant>& walk, const Rates& rates);

}  // namespace gsnake::sim
