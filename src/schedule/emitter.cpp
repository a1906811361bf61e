#include "schedule/emitter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "greedysnake/error.h"

namespace gsnake::schedule {

Emitter::Emitter(const Map& map, Variant variant, Purpose purpose)
    : map_(map), counting_(purpose == Purpose::counting), tracked_(map.resources()), free_(map.pools.size()), live_(map.pools.size()), peak_(map.pools.size()) {
  graph_.variant = variant;
  if (counting_) return;
  graph_.boundaries.resize(map.resources());
  for (std::size_t pool = 0; pool < map.pools.size(); ++pool) {
    for (int slot = 0; slot < map.pools[pool].slots; ++slot) free_[pool].push_back(map.pools[pool].first_buffer + slot);
  }
}

int Emitter::acquire(int pool) {
  peak_[pool] = std::max(peak_[pool], ++live_[pool]);
  if (counting_) return map_.pools[pool].first_buffer;
  if (free_[pool].empty()) {
    throw Error(ErrorKind::budget, "schedule: the pool of " + map_.pools[pool].name + " needs more than " + std::to_string(map_.pools[pool].slots) + " slots");
  }
  const int buffer = free_[pool].front();
  free_[pool].pop_front();
  return buffer;
}

void Emitter::release(int buffer) {
  const int pool = map_.buffers[buffer].pool;
  --live_[pool];
  if (!counting_) free_[pool].push_back(buffer);
}

TaskId Emitter::add(Task task, std::span<const Access> accesses) {
  if (counting_) return -1;
  const auto id = static_cast<TaskId>(graph_.tasks.size());
  task.first_access = static_cast<std::uint32_t>(graph_.access_list.size());
  task.accesses = static_cast<std::uint32_t>(accesses.size());
  graph_.access_list.insert(graph_.access_list.end(), accesses.begin(), accesses.end());
  graph_.tasks.push_back(task);
  last_follower_.push_back(-1);
  sources_.clear();
  for (const Access& access : accesses) order_after(access, id);
  for (const Access& access : accesses) note(access, id);
  for (TaskId source : sources_) edges_.push_back({source, id});
  return id;
}

void Emitter::depend(TaskId id, TaskId on) {
  if (on < 0 || on == id) return;
  const Lane lane = graph_.tasks[id].lane;
  if (runs_in_order(lane) && graph_.tasks[on].lane == lane) return;  // the lane's own order says so
  if (std::exchange(last_follower_[on], id) != id) sources_.push_back(on);
}

void Emitter::order_after(const Access& access, TaskId id) {
  const Tracked& tracked = tracked_[access.resource];
  depend(id, tracked.writer);
  if (access.mode == Mode::read) return;
  for (TaskId reader : tracked.readers) depend(id, reader);
}

void Emitter::note(const Access& access, TaskId id) {
  Tracked& tracked = tracked_[access.resource];
  Boundary& boundary = graph_.boundaries[access.resource];
  if (access.mode == Mode::read) {
    tracked.readers.push_back(id);
    if (tracked.writer < 0) boundary.first_readers.push_back(id);
    return;
  }
  if (tracked.writer < 0) boundary.first_writer = id;
  tracked.writer = id;
  tracked.readers.clear();
}

// Walking backwards, a task is as urgent as the most urgent task that waits for it: by an edge, or behind it on a lane that runs in order.
void Emitter::set_priorities() {
  const auto count = static_cast<TaskId>(graph_.tasks.size());
  std::array<std::int32_t, kLaneCount> behind;
  behind.fill(count);
  for (TaskId id = count - 1; id >= 0; --id) {
    Task& task = graph_.tasks[id];
    task.priority = task.lane == Lane::compute ? id : count;
    for (TaskId successor : graph_.successors_of(id)) task.priority = std::min(task.priority, graph_.tasks[successor].priority);
    if (!runs_in_order(task.lane)) continue;
    std::int32_t& next = behind[static_cast<std::size_t>(task.lane)];
    next = task.priority = std::min(task.priority, next);
  }
}

void Emitter::set_successors() {
  graph_.predecessors.assign(graph_.tasks.size(), 0);
  graph_.first_successor.assign(graph_.tasks.size() + 1, 0);
  for (const Edge& edge : edges_) {
    ++graph_.first_successor[edge.from + 1];
    ++graph_.predecessors[edge.to];
  }
  for (std::size_t i = 1; i < graph_.first_successor.size(); ++i) graph_.first_successor[i] += graph_.first_successor[i - 1];
  graph_.successors.resize(edges_.size());
  std::vector<std::uint32_t> next(graph_.first_successor.begin(), graph_.first_successor.end() - 1);
  for (const Edge& edge : edges_) graph_.successors[next[edge.from]++] = edge.to;
}

Graph Emitter::finish(const std::vector<int>& carried) {
  for (std::size_t r = 0; r < graph_.boundaries.size(); ++r) {
    graph_.boundaries[r].last_writer = tracked_[r].writer;
    graph_.boundaries[r].last_readers = std::move(tracked_[r].readers);
  }
  graph_.end_order.resize(map_.pools.size());
  if (!counting_) {
    for (std::size_t pool = 0; pool < map_.pools.size(); ++pool) {
      const int first = map_.pools[pool].first_buffer;
      if (map_.pools[pool].role == PoolRole::host_chunk) {
        for (int buffer : carried) graph_.end_order[pool].push_back(buffer - first);
      }
      for (int buffer : free_[pool]) graph_.end_order[pool].push_back(buffer - first);
    }
    set_successors();
    set_priorities();
    graph_.tasks.shrink_to_fit();
    graph_.access_list.shrink_to_fit();
  }
  return std::move(graph_);
}

}  // namespace gsnake::schedule
