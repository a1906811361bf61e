// Programs in which faults are made on purpose, to show that the audit can fail.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "audit/audit.h"
#include "schedule/support.h"

namespace gsnake::audit {

using namespace schedule;

struct Case {
  const char* name;
  ScheduleKind schedule;
  Guard guard = Guard::none;
  int frozen_units = -1;  // of a table of objects; -1: a model as they are trained as a whole
  int ranks = 1;          // the first of so many
  double update_device = 0.0;
  bool norms_on_device = false;
};

inline Program program_of(const Case& tested) {
  Problem problem = tested.frozen_units < 0 ? schedule::test::mixed_problem(tested.schedule, 4, 3)
                                            : schedule::test::mixed_table(tested.schedule, 3, tested.frozen_units);
  problem.guard = tested.guard;
  if (tested.guard == Guard::deferred) problem.delay = 1.0;
  if (tested.guard == Guard::speculative) problem.weights = problem.optimizer = {0.0, 0.0};
  problem.update_device = tested.update_device;
  problem.norms_on_device = tested.norms_on_device;
  share_out(problem, 0, tested.ranks);
  return build_program(problem, minimum_pools(problem));
}

inline std::vector<Edge> edges_of(const Graph& graph) {
  std::vector<Edge> edges;
  for (TaskId from = 0; from < static_cast<TaskId>(graph.tasks.size()); ++from) {
    for (TaskId to : graph.successors_of(from)) edges.push_back({from, to});
  }
  return edges;
}

inline Graph without_edge(Graph graph, std::size_t index) {
  const Edge edge = edges_of(graph)[index];
  graph.successors.erase(graph.successors.begin() + static_cast<std::ptrdiff_t>(index));
  for (std::size_t i = static_cast<std::size_t>(edge.from) + 1; i < graph.first_successor.size(); ++i) --graph.first_successor[i];
  --graph.predecessors[static_cast<std::size_t>(edge.to)];
  return graph;
}

// Whether b still waits for a, by edges and lanes: a plain search, so that it owes nothing to the audit's bitsets. Tasks of `next` are
// numbered after those of `previous`.
class Reach {
 public:
  Reach(const Graph& previous, const Graph& next, const std::vector<Edge>& joins) {
    const auto offset = static_cast<TaskId>(previous.tasks.size());
    followers_.resize(previous.tasks.size() + next.tasks.size());
    for (const Edge& edge : edges_of(previous)) connect(edge.from, edge.to);
    for (const Edge& edge : edges_of(next)) connect(offset + edge.from, offset + edge.to);
    for (const Edge& edge : joins) connect(edge.from, offset + edge.to);
    std::array<TaskId, kLaneCount> last;
    last.fill(-1);
    for (TaskId id = 0; id < static_cast<TaskId>(followers_.size()); ++id) {
      const Lane lane =
          (id < offset ? previous.tasks[static_cast<std::size_t>(id)] : next.tasks[static_cast<std::size_t>(id - offset)]).lane;
      if (!runs_in_order(lane)) continue;
      if (last[static_cast<std::size_t>(lane)] >= 0) connect(last[static_cast<std::size_t>(lane)], id);
      last[static_cast<std::size_t>(lane)] = id;
    }
  }

  [[nodiscard]] bool waits(TaskId a, TaskId b) const {
    std::vector<bool> seen(followers_.size(), false);
    std::vector<TaskId> open{a};
    while (!open.empty()) {
      const TaskId id = open.back();
      open.pop_back();
      if (id == b) return true;
      for (TaskId follower : followers_[static_cast<std::size_t>(id)]) {
        if (follower > b || seen[static_cast<std::size_t>(follower)]) continue;
        seen[static_cast<std::size_t>(follower)] = true;
        open.push_back(follower);
      }
    }
    return false;
  }

 private:
  void connect(TaskId from, TaskId to) { followers_[static_cast<std::size_t>(from)].push_back(to); }
  std::vector<std::vector<TaskId>> followers_;
};

class Mutation : public ::testing::TestWithParam<Case> {
 protected:
  Program program_ = program_of(GetParam());
  const Graph& train_ = program_.graph(Variant::train);
  std::vector<Edge> joins_ = join(program_.map, train_, train_);
  Graph& train() { return program_.graphs[static_cast<std::size_t>(Variant::train)]; }

  [[nodiscard]] Sequence sequence() const {
    const std::vector<Variant> variants{Variant::load, Variant::train_first, Variant::train, Variant::train, Variant::finish_pending};
    Sequence sequence = compose(program_, variants);
    const Guard guard = GetParam().guard;
    if (guard == Guard::deferred) sequence.fates = {Fate::plain, Fate::skipped, Fate::plain};
    if (guard == Guard::speculative) sequence.fates = {Fate::revised, Fate::skipped, Fate::plain};
    return sequence;
  }
  // Faults of content, found in emission order; faults of form, found on the task itself.
  [[nodiscard]] Findings found() const {
    Findings findings = audit_tasks(program_.map, train_);
    return findings.empty() ? audit_contents(sequence()) : findings;
  }
  [[nodiscard]] bool is_frozen(const Task& t) const {
    return t.chunk >= 0 && !program_.map.object_of(program_.map.chunks[static_cast<std::size_t>(t.chunk)]).trained;
  }
  [[nodiscard]] bool has_frozen() const { return GetParam().frozen_units >= 0; }
  [[nodiscard]] std::vector<TaskId> tasks_of(Op op) const {
    std::vector<TaskId> ids;
    for (TaskId id = 0; id < static_cast<TaskId>(train_.tasks.size()); ++id) {
      if (train_.tasks[static_cast<std::size_t>(id)].op == op) ids.push_back(id);
    }
    return ids;
  }
  Task& task(TaskId id) { return train().tasks[static_cast<std::size_t>(id)]; }
  Access& access(TaskId id, Role role) { return *const_cast<Access*>(train().find(task(id), role)); }
};

inline std::vector<Case> mutated_programs() {
  return {Case{"vertical", ScheduleKind::vertical},
          Case{"horizontal", ScheduleKind::horizontal},
          Case{"deferred", ScheduleKind::vertical, Guard::deferred},
          Case{"speculative", ScheduleKind::vertical, Guard::speculative},
          Case{"table", ScheduleKind::vertical, Guard::none, 0},
          Case{"table_horizontal", ScheduleKind::horizontal, Guard::none, 0},
          Case{"table_deferred", ScheduleKind::vertical, Guard::deferred, 0},
          Case{"table_speculative", ScheduleKind::vertical, Guard::speculative, 0},
          Case{"frozen_below", ScheduleKind::vertical, Guard::none, 2},
          Case{"frozen_below_horizontal", ScheduleKind::horizontal, Guard::none, 2},
          Case{"ranks", ScheduleKind::vertical, Guard::none, 0, 2},
          Case{"ranks_horizontal", ScheduleKind::horizontal, Guard::none, 0, 3},
          Case{"device_updates", ScheduleKind::vertical, Guard::none, -1, 1, 0.8},
          Case{"device_updates_horizontal", ScheduleKind::horizontal, Guard::none, -1, 1, 0.8},
          Case{"device_updates_deferred", ScheduleKind::vertical, Guard::deferred, 0, 1, 0.7},
          Case{"device_updates_speculative", ScheduleKind::vertical, Guard::speculative, 0, 1, 0.8},
          Case{"device_updates_ranks", ScheduleKind::vertical, Guard::none, 0, 2, 1.0},
          Case{"device_norms", ScheduleKind::vertical, Guard::none, -1, 1, 0.0, true},
          Case{"device_norms_deferred", ScheduleKind::vertical, Guard::deferred, 0, 1, 0.7, true},
          Case{"device_norms_horizontal", ScheduleKind::horizontal, Guard::none, -1, 1, 0.0, true}};
}

inline std::string name_of_case(const ::testing::TestParamInfo<Case>& tested) { return tested.param.name; }

}  // namespace gsnake::audit
