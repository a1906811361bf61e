// Whether times of tasks, simulated or of a run, are those of an order that a program's graphs allow.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "schedule/graph.h"
#include "sim/simulation.h"

namespace gsnake::sim::test {

// Of a run, what one lane on the device notes of a task's end may come a little after another one has begun what follows it there: of these only
// the beginnings are compared.
enum class Clock : std::uint8_t { simulated, measured };

// What edges, lanes and the two graphs in flight forbid, the first that is found; empty: nothing. Tasks that were not carried out have the time at
// which they were passed over; of a run they are not looked at.
inline std::string first_violation(const schedule::Program& program, const std::vector<SimulatedGraph>& graphs, const Machine& machine, Clock clock = Clock::simulated) {
  using namespace schedule;
  const bool exact = clock == Clock::simulated;
  const auto describe = [](std::size_t g, TaskId from, TaskId to, const char* what) {
    return std::string(what) + ": graph " + std::to_string(g) + ", task " + std::to_string(from) + " and " + std::to_string(to);
  };
  const auto looked_at = [exact](const SimulatedTask& task) { return exact || task.carried_out; };
  const auto follows = [&](const Graph& from_graph, const SimulatedGraph& from, TaskId a, const Graph& to_graph, const SimulatedGraph& to, TaskId b) {
    const SimulatedTask& first = from.tasks[static_cast<std::size_t>(a)];
    const SimulatedTask& then = to.tasks[static_cast<std::size_t>(b)];
    if (!looked_at(first) || !looked_at(then)) return true;
    const bool on_device = runs_in_order(from_graph.tasks[static_cast<std::size_t>(a)].lane) && runs_in_order(to_graph.tasks[static_cast<std::size_t>(b)].lane);
    return then.begin >= (!exact && on_device ? first.begin : first.end);
  };
  std::array<double, kLaneCount> in_order{};
  std::array<std::vector<std::pair<double, int>>, kLaneCount> changes;  // of what is in hand
  std::vector<double> ends;
  for (std::size_t g = 0; g < graphs.size(); ++g) {
    const Graph& graph = *graphs[g].graph;
    double end = 0.0;
    for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
      const SimulatedTask& task = graphs[g].tasks[i];
      const auto id = static_cast<TaskId>(i);
      if (!looked_at(task)) continue;
      const auto lane = static_cast<std::size_t>(graph.tasks[i].lane);
      if (task.end < task.begin) return describe(g, id, -1, "ends before it begins");
      if (g >= 2 && task.begin < ends[g - 2]) return describe(g, id, -1, "begins before there is room");
      for (TaskId successor : graph.successors_of(id)) {
        if (!follows(graph, graphs[g], id, graph, graphs[g], successor)) return describe(g, id, successor, "an edge");
      }
      if (runs_in_order(graph.tasks[i].lane)) {
        if (task.begin < in_order[lane]) return describe(g, id, -1, "a lane's order");
        in_order[lane] = exact ? task.end : task.begin;
      } else if (task.end > task.begin) {
        changes[lane].push_back({task.begin, 1});
        changes[lane].push_back({task.end, -1});
      }
      end = std::max(end, task.end);
    }
    ends.push_back(end);
    if (g + 1 == graphs.size()) continue;
    for (const Edge& edge : join(program.map, graph, *graphs[g + 1].graph)) {
      if (!follows(graph, graphs[g], edge.from, *graphs[g + 1].graph, graphs[g + 1], edge.to)) return describe(g, edge.from, edge.to, "a join");
    }
  }
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
    auto& events = changes[lane];
    std::sort(events.begin(), events.end());
    int in_hand = 0;
    for (const auto& [time, change] : events) {
      in_hand += change;
      if (in_hand > machine.lanes[lane].at_once) return std::string("too much in hand: ") + kLaneNames[lane];
    }
  }
  return {};
}

}  // namespace gsnake::sim::test
