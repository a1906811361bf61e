#include <algorithm>
#include <span>
#include <utility>

#include "greedysnake/error.h"
#include "schedule/footprint.h"
#include "schedule/graph.h"
#include "schedule/step.h"

namespace gsnake::schedule {
namespace {

bool leaves_pending(Variant variant, bool delayed) { return delayed && (variant == Variant::train || variant == Variant::train_first); }
bool needs_pending(Variant v) { return v == Variant::train || v == Variant::validate_pending || v == Variant::finish_pending; }
bool needs_optimizer(Variant v) { return v != Variant::load && v != Variant::validate; }

bool is_of_training(Variant v) { return v == Variant::load || v == Variant::train_first || v == Variant::train; }

std::vector<Variant> variants_of(const Problem& problem, bool delayed) {
  std::vector<Variant> variants;
  for (int i = 0; i < kVariantCount; ++i) {
    const auto variant = static_cast<Variant>(i);
    const bool possible = (delayed || !needs_pending(variant)) && (problem.trains() || !needs_optimizer(variant));
    if (possible) variants.push_back(variant);
  }
  return variants;
}

// Of one rank, a unit computes with whole objects: who owns a part of one gets the others' from other ranks.
void require_whole_objects(const Problem& problem) {
  if (problem.ranks > 1) return;
  for (int object = 0; object < problem.object_count(); ++object) {
    const Range range = problem.object(object).range();
    if (range == Range{0, problem.object(object).cells()}) continue;
    throw Error(ErrorKind::usage, "schedule: the only rank owns a part of object " + std::to_string(object) + "; let it own all of it, or say how many ranks there are");
  }
}

// By resource; the same edge may be there several times.
std::vector<Edge> all_joins(const Map& map, const Graph& previous, const Graph& next) {
  std::vector<Edge> edges;
  const auto depend = [&](TaskId from, TaskId to) {
    if (from < 0 || to < 0) return;
    const Lane lane = next.tasks[to].lane;
    if (runs_in_order(lane) && previous.tasks[from].lane == lane) return;
    edges.push_back({from, to});
  };
  for (int resource = 0; resource < map.resources(); ++resource) {
    int earlier = resource;
    if (map.is_buffer(resource) && map.buffers[resource].pool >= 0) {
      const int pool = map.buffers[resource].pool;
      const int first = map.pools[pool].first_buffer;
      earlier = first + previous.end_order[pool][resource - first];
    }
    const Boundary& before = previous.boundaries[earlier];
    const Boundary& after = next.boundaries[resource];
    for (TaskId reader : after.first_readers) depend(before.last_writer, reader);
    depend(before.last_writer, after.first_writer);
    for (TaskId reader : before.last_readers) depend(reader, after.first_writer);
  }
  return edges;
}

// Where the edges of a task lead to: counted, not compared, since there are some for every task.
class Grouped {
 public:
  explicit Grouped(const std::vector<Edge>& edges) : to_(edges.size()) {
    TaskId last = -1;
    for (const Edge& edge : edges) last = std::max(last, edge.from);
    begin_.assign(static_cast<std::size_t>(last + 1) + 2, 0);
    for (const Edge& edge : edges) ++begin_[static_cast<std::size_t>(edge.from) + 2];
    for (std::size_t i = 2; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
    for (const Edge& edge : edges) to_[begin_[static_cast<std::size_t>(edge.from) + 1]++] = edge.to;
  }
  [[nodiscard]] std::size_t tasks() const { return begin_.size() - 2; }  // up to the last that has any
  [[nodiscard]] std::span<TaskId> of(std::size_t task) { return {to_.data() + begin_[task], begin_[task + 1] - begin_[task]}; }
  [[nodiscard]] std::span<const TaskId> of(std::size_t task) const { return {to_.data() + begin_[task], begin_[task + 1] - begin_[task]}; }

 private:
  std::vector<std::size_t> begin_;
  std::vector<TaskId> to_;
};

// By `from`, and then by `to`.
std::vector<Edge> in_order_and_once(const std::vector<Edge>& edges) {
  Grouped grouped(edges);
  std::vector<Edge> sorted;
  sorted.reserve(edges.size());
  for (std::size_t from = 0; from < grouped.tasks(); ++from) {
    const std::span<TaskId> to = grouped.of(from);
    std::sort(to.begin(), to.end());
    for (auto each = to.begin(), end = std::unique(to.begin(), to.end()); each != end; ++each) sorted.push_back({static_cast<TaskId>(from), *each});
  }
  return sorted;
}

Program build(const Problem& problem, const PoolSizes& sizes, bool (*is_wanted)(Variant)) {
  Program program;
  program.map = make_map(problem, sizes);
  require_whole_objects(problem);
  program.delayed = leaves_updates(problem);
  for (const Variant variant : variants_of(problem, program.delayed)) {
    if (is_wanted(variant)) program.graphs[static_cast<std::size_t>(variant)] = StepEmitter(program.map, variant, Emitter::Purpose::graph).emit();
  }
  return program;
}

}  // namespace

const Access* Graph::find(const Task& task, Role role, int use) const {
  for (const Access& access : accesses(task)) {
    if (access.role == role && access.use == use) return &access;
  }
  return nullptr;
}

bool Conditions::carry_out(const Task& task) const {
  const bool late = task.step_offset < 0;
  const bool undone = late && previous.skipped && task.op == Op::write;
  switch (task.when) {
    case When::always:
      return !undone;
    case When::committing:
      return late ? commits_previous && (task.op == Op::commit || previous.unsaved) : commits_this;
    case When::unflushed:
      return unflushed && previous.unsaved;
    case When::revised:
      break;
  }
  return (previous.revised || previous.skipped) && !undone;
}

std::uint64_t Graph::lane_bytes(Lane lane, const Conditions& conditions) const {
  std::uint64_t sum = 0;
  for (const Task& task : tasks) sum += task.lane == lane && conditions.carry_out(task) ? task.bytes : 0;
  return sum;
}

bool may_follow(Variant previous, Variant next, bool delayed) {
  return next != Variant::load && needs_pending(next) == leaves_pending(previous, delayed);
}

std::vector<Edge> join(const Map& map, const Graph& previous, const Graph& next) { return in_order_and_once(all_joins(map, previous, next)); }

std::size_t join_size(const Map& map, const Graph& previous, const Graph& next) {
  const Grouped joins(all_joins(map, previous, next));
  std::vector<TaskId> last_from(next.tasks.size(), -1);
  std::size_t size = 0;
  for (std::size_t from = 0; from < joins.tasks(); ++from) {
    for (const TaskId to : joins.of(from)) size += std::exchange(last_from[static_cast<std::size_t>(to)], static_cast<TaskId>(from)) != static_cast<TaskId>(from) ? 1 : 0;
  }
  return size;
}

Program build_program(const Problem& problem, const PoolSizes& sizes) {
  return build(problem, sizes, [](Variant) { return true; });
}

Program build_training_program(const Problem& problem, const PoolSizes& sizes) { return build(problem, sizes, is_of_training); }

PoolSizes minimum_pools(const Problem& problem) {
  const Map map = make_map(problem, {});
  PoolSizes most(map.pools.size(), 0);
  for (Variant variant : variants_of(problem, leaves_updates(problem))) {
    StepEmitter emitter(map, variant, Emitter::Purpose::counting);
    emitter.emit();
    for (std::size_t i = 0; i < most.size(); ++i) most[i] = std::max(most[i], emitter.peak()[i]);
  }
  return most;
}

}  // namespace gsnake::schedule
