#include "runtime/flight.h"

#include <algorithm>

namespace gsnake::runtime {
namespace {

// Edges as CSR by target, of those that join two different device lanes.
void set_device_sources(std::size_t targets, const std::vector<schedule::Edge>& edges, std::vector<std::uint32_t>& first, std::vector<TaskId>& sources) {
  first.assign(targets + 1, 0);
  for (const schedule::Edge& edge : edges) ++first[static_cast<std::size_t>(edge.to) + 1];
  for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  sources.resize(edges.size());
  std::vector<std::uint32_t> cursor(first.begin(), first.end() - 1);
  for (const schedule::Edge& edge : edges) sources[cursor[static_cast<std::size_t>(edge.to)]++] = edge.from;
}

}  // namespace

bool is_device_lane(Lane lane) { return schedule::runs_in_order(lane); }

PreparedGraph prepare(const schedule::Graph& graph) {
  PreparedGraph prepared;
  prepared.graph = &graph;
  prepared.lane_tasks.resize(schedule::kLaneCount);
  std::vector<schedule::Edge> between_device_lanes;
  for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
    const auto id = static_cast<TaskId>(i);
    const schedule::Task& task = graph.tasks[i];
    std::vector<TaskId>& own = prepared.lane_tasks[static_cast<std::size_t>(task.lane)];
    prepared.lane_position.push_back(static_cast<std::int32_t>(own.size()));
    own.push_back(id);
    if (!is_device_lane(task.lane)) continue;
    for (TaskId successor : graph.successors_of(id)) {
      if (is_device_lane(graph.tasks[static_cast<std::size_t>(successor)].lane)) between_device_lanes.push_back({id, successor});
    }
  }
  set_device_sources(graph.tasks.size(), between_device_lanes, prepared.first_device_source, prepared.device_sources);
  return prepared;
}

PreparedJoin prepare_join(const schedule::Graph& previous, const schedule::Graph& next, const std::vector<schedule::Edge>& edges) {
  PreparedJoin join;
  join.first_successor.assign(previous.tasks.size() + 1, 0);
  join.predecessors.assign(next.tasks.size(), 0);
  for (const schedule::Edge& edge : edges) {  // sorted by `from`
    ++join.first_successor[static_cast<std::size_t>(edge.from) + 1];
    ++join.predecessors[static_cast<std::size_t>(edge.to)];
    join.successors.push_back(edge.to);
  }
  for (std::size_t i = 1; i < join.first_successor.size(); ++i) join.first_successor[i] += join.first_successor[i - 1];
  return join;
}

Flight::Flight(std::size_t tasks, std::size_t buffers)
    : physical(buffers), times(tasks), links(tasks), waiting(new std::atomic<std::int32_t>[tasks]), join_state(new std::atomic<std::uint8_t>[tasks]) {}

bool Flight::carries_out(TaskId id) const {
  const schedule::Task& own_task = task(id);
  if (own_task.when == schedule::When::always && own_task.step_offset == 0) return true;
  schedule::Conditions known = conditions;
  known.previous = before->what;
  return known.carry_out(own_task);
}

}  // namespace gsnake::runtime
