// What is asked of a graph that was simulated.
#include <algorithm>
#include <limits>

#include "sim/simulation.h"

namespace gsnake::sim {

using schedule::Op;

double SimulatedGraph::first_begin(Lane lane) const {
  double first = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (graph->tasks[i].lane == lane && tasks[i].carried_out) first = std::min(first, tasks[i].begin);
  }
  return first;
}

double SimulatedGraph::last_end(Lane lane) const {
  double last = 0.0;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (graph->tasks[i].lane == lane && tasks[i].carried_out) last = std::max(last, tasks[i].end);
  }
  return last;
}

double SimulatedGraph::results_at() const {
  for (std::size_t i = tasks.size(); i-- > 0;) {
    if (graph->tasks[i].op == Op::conclude) return tasks[i].end;
  }
  return 0.0;
}

}  // namespace gsnake::sim
