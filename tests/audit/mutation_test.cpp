// Shows that the audit can fail: every kind of fault that it exists for is made on purpose.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "audit/audit.h"
#include "schedule/support.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

using schedule::test::joined;

struct Case {
  const char* name;
  ScheduleKind schedule;
  Guard guard = Guard::none;
};

Program program_of(const Case& tested) {
  Problem problem = schedule::test::mixed_problem(tested.schedule, 4, 3);
  problem.guard = tested.guard;
  if (tested.guard == Guard::deferred) problem.delay = 1.0;
  if (tested.guard == Guard::speculative) problem.weights = problem.optimizer = {0.0, 0.0};
  return build_program(problem, minimum_pools(problem));
}

std::vector<Edge> edges_of(const Graph& graph) {
  std::vector<Edge> edges;
  for (TaskId from = 0; from < static_cast<TaskId>(graph.tasks.size()); ++from) {
    for (TaskId to : graph.successors_of(from)) edges.push_back({from, to});
  }
  return edges;
}

Graph without_edge(Graph graph, std::size_t index) {
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

TEST_P(Mutation, NoneIsFoundInTheProgramItself) {
  EXPECT_TRUE(found().empty()) << joined(found());
  EXPECT_TRUE(audit_order(program_.map, train_, train_, joins_).empty());
}

// The emitter makes edges between conflicting tasks only: removing one is a fault exactly when no other path is left.
TEST_P(Mutation, AMissingEdgeIsFoundExactlyWhenItBreaksAnOrder) {
  const std::vector<Edge> edges = edges_of(train_);
  int broken = 0;
  for (std::size_t i = 0; i < edges.size(); i += schedule::test::kSlowdown) {
    const Graph mutant = without_edge(train_, i);
    const bool breaks = !Reach(mutant, Graph{}, {}).waits(edges[i].from, edges[i].to);
    Graph empty;
    empty.first_successor = {0};
    const Findings findings = audit_order(program_.map, mutant, empty, {});
    EXPECT_EQ(!findings.empty(), breaks) << "edge " << edges[i].from << " to " << edges[i].to;
    broken += breaks ? 1 : 0;
  }
  EXPECT_GT(broken, static_cast<int>(edges.size()) / schedule::test::kSlowdown / 4);
}

TEST_P(Mutation, AMissingJoinEdgeIsFoundExactlyWhenItBreaksAnOrder) {
  ASSERT_GT(joins_.size(), 10U);
  const auto offset = static_cast<TaskId>(train_.tasks.size());
  int broken = 0;
  for (std::size_t i = 0; i < joins_.size(); ++i) {
    std::vector<Edge> joins = joins_;
    joins.erase(joins.begin() + static_cast<std::ptrdiff_t>(i));
    const bool breaks = !Reach(train_, train_, joins).waits(joins_[i].from, offset + joins_[i].to);
    EXPECT_EQ(!audit_order(program_.map, train_, train_, joins).empty(), breaks) << "join " << joins_[i].from << " to " << joins_[i].to;
    broken += breaks ? 1 : 0;
  }
  EXPECT_GT(broken, 5);
}

// Needs a fault that changes what somebody finds, and an order that hits it.
TEST_P(Mutation, RandomOrdersFindMostMissingEdges) {
  const std::vector<Edge> edges = edges_of(train_);
  const Graph original = train_;
  int broken = 0;
  int caught = 0;
  for (std::size_t i = 0; i < edges.size(); i += 5 * schedule::test::kSlowdown) {
    train() = without_edge(original, i);
    if (Reach(train_, Graph{}, {}).waits(edges[i].from, edges[i].to)) continue;
    ++broken;
    bool seen = false;
    for (std::uint64_t seed = 0; seed < 12 && !seen; ++seed) seen = !audit_shuffled(sequence(), seed).empty();
    caught += seen ? 1 : 0;
  }
  RecordProperty("broken", broken);
  RecordProperty("caught", caught);
  ASSERT_GT(broken, 0);
  EXPECT_GE(2 * caught, broken) << caught << " of " << broken;
}

TEST_P(Mutation, ACycleIsFound) {
  const Edge edge = edges_of(train_).front();
  Graph cyclic = train_;
  cyclic.successors = {edge.to, edge.from};
  for (std::size_t i = 0; i < cyclic.first_successor.size(); ++i) {
    const auto id = static_cast<TaskId>(i);
    cyclic.first_successor[i] = (id > edge.from ? 1U : 0U) + (id > edge.to ? 1U : 0U);
  }
  EXPECT_FALSE(audit_tasks(program_.map, cyclic).empty());
  const Findings findings = audit_shuffled({&program_.map, {&cyclic}, {{}}}, 1);
  EXPECT_FALSE(findings.empty());
}

// For each kind of task: two of them write to one another's place.
TEST_P(Mutation, SwappedDestinationsAreFound) {
  const Graph original = train_;
  schedule::test::Random random(5);
  for (Op op : {Op::read, Op::write, Op::copy}) {
    const std::vector<TaskId> ids = tasks_of(op);
    for (int i = 0; i < 60 / schedule::test::kSlowdown; ++i) {
      train() = original;
      const TaskId a = random.one_of(ids);
      const TaskId b = random.one_of(ids);
      Access& first = access(a, Role::destination);
      Access& second = access(b, Role::destination);
      if (first.resource == second.resource && first.offset == second.offset) continue;
      std::swap(first.resource, second.resource);
      std::swap(first.offset, second.offset);
      EXPECT_FALSE(found().empty()) << "tasks " << a << " and " << b;
    }
  }
}

TEST_P(Mutation, SwappedSourcesAreFound) {
  const Graph original = train_;
  schedule::test::Random random(6);
  for (Op op : {Op::read, Op::write, Op::copy}) {
    const std::vector<TaskId> ids = tasks_of(op);
    for (int i = 0; i < 60 / schedule::test::kSlowdown; ++i) {
      train() = original;
      const TaskId a = random.one_of(ids);
      const TaskId b = random.one_of(ids);
      Access& first = access(a, Role::source);
      Access& second = access(b, Role::source);
      if (first.resource == second.resource && first.offset == second.offset) continue;
      std::swap(first.resource, second.resource);
      std::swap(first.offset, second.offset);
      EXPECT_FALSE(found().empty()) << "tasks " << a << " and " << b;
    }
  }
}

// In emission order nothing needs edges, so the task can go without mending them. A free slot may happen to hold the very weights that a
// dropped read or copy would have brought.
TEST_P(Mutation, ADroppedTaskIsFound) {
  const Graph original = train_;
  for (Op op : {Op::read, Op::write, Op::copy, Op::update, Op::add}) {
    int dropped = 0;
    int found = 0;
    for (TaskId id : tasks_of(op)) {
      if (id % schedule::test::kSlowdown != 0) continue;
      Sequence sequence = this->sequence();
      train().tasks.erase(train().tasks.begin() + id);
      ++dropped;
      found += audit_contents(sequence).empty() ? 0 : 1;
      train() = original;
    }
    const bool may_be_idle = op == Op::read || op == Op::copy;
    EXPECT_GE(10 * found, (may_be_idle ? 8 : 10) * dropped) << found << " of " << dropped << ", op " << static_cast<int>(op);
  }
}

TEST_P(Mutation, AnUpdateWithAnotherStepsScalarsIsFound) {
  const Graph original = train_;
  for (TaskId id : tasks_of(Op::update)) {
    train() = original;
    task(id).step_offset = static_cast<std::int8_t>(task(id).step_offset == 0 ? -1 : 0);
    EXPECT_FALSE(found().empty());
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
}

TEST_P(Mutation, SwappedStatesOfAnUpdateAreFound) {
  const Graph original = train_;
  for (TaskId id : tasks_of(Op::update)) {
    train() = original;
    std::swap(access(id, Role::state0).resource, access(id, Role::state1).resource);
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
}

TEST_P(Mutation, AnAccumulatorThatStartsOverOrNeverStartsIsFound) {
  const Graph original = train_;
  for (Op op : {Op::backward, Op::head}) {
    for (TaskId id : tasks_of(op)) {
      train() = original;
      task(id).first = !task(id).first;
      access(id, Role::gradients).mode = task(id).first ? Mode::write : Mode::update;
      EXPECT_FALSE(found().empty());
    }
  }
}

TEST_P(Mutation, AnotherOrderOfMicroBatchesIsFound) {
  const Graph original = train_;
  for (Op op : {Op::forward, Op::head, Op::backward}) {
    const std::vector<TaskId> ids = tasks_of(op);
    for (std::size_t i = 1; i < ids.size(); ++i) {
      train() = original;
      if (task(ids[i]).unit != task(ids[i - 1]).unit) continue;
      std::swap(task(ids[i]).micro_batch, task(ids[i - 1]).micro_batch);
      EXPECT_FALSE(found().empty());
    }
  }
}

TEST_P(Mutation, CarriedSlotsInTheWrongOrderAreFound) {
  const int pool = program_.map.pool(PoolRole::host_chunk);
  std::vector<std::int32_t>& order = train().end_order[static_cast<std::size_t>(pool)];
  std::swap(order[0], order[1]);
  EXPECT_FALSE(found().empty());
}

TEST_P(Mutation, AnEndOrderThatForgetsASlotIsFound) {
  train().end_order.front().back() = train().end_order.front().front();
  EXPECT_FALSE(found().empty());
}

TEST_P(Mutation, AWrongPlaceInABufferIsFound) {
  const Graph original = train_;
  for (TaskId id : tasks_of(Op::copy)) {
    train() = original;
    if (task(id).chunk < 0) continue;
    access(id, Role::destination).offset += 4096;
    EXPECT_FALSE(found().empty());
  }
}

TEST_P(Mutation, AMapThatSharesBytesIsFound) {
  ASSERT_TRUE(audit_map(program_.map).empty());
  Map map = program_.map;
  map.extents[1].offset = map.extents[0].offset;
  map.extents[1].object = map.extents[0].object;
  map.extents[1].kind = map.extents[0].kind;
  EXPECT_FALSE(audit_map(map).empty());

  map = program_.map;
  map.chunks[1].begin += kGrain;
  EXPECT_FALSE(audit_map(map).empty());

  map = program_.map;
  map.buffers.back().bytes += 4096;
  EXPECT_FALSE(audit_map(map).empty());
}

INSTANTIATE_TEST_SUITE_P(Programs, Mutation,
                         ::testing::Values(Case{"vertical", ScheduleKind::vertical}, Case{"horizontal", ScheduleKind::horizontal},
                                           Case{"deferred", ScheduleKind::vertical, Guard::deferred},
                                           Case{"speculative", ScheduleKind::vertical, Guard::speculative}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace gsnake::audit
