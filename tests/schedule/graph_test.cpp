#include "schedule/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "greedysnake/error.h"
#include "schedule/visits.h"
#include "support.h"

namespace gsnake::schedule {
namespace {

// What is built from a problem, as numbers that can be compared.
std::vector<std::uint64_t> fingerprint(const Graph& graph) {
  std::vector<std::uint64_t> numbers;
  const auto put = [&numbers](auto value) { numbers.push_back(static_cast<std::uint64_t>(value)); };
  for (const Task& t : graph.tasks) {
    for (const auto value : {static_cast<int>(t.op), static_cast<int>(t.lane), static_cast<int>(t.first), static_cast<int>(t.tied_first),
                             static_cast<int>(t.last), static_cast<int>(t.step_offset), t.unit, t.micro_batch, t.chunk, t.priority}) {
      put(value);
    }
    put(t.first_access);
    put(t.accesses);
    put(t.bytes);
  }
  for (const Access& a : graph.access_list) {
    for (const auto value : {static_cast<int>(a.role), static_cast<int>(a.mode), a.resource}) put(value);
    put(a.offset);
  }
  for (auto value : graph.first_successor) put(value);
  for (auto value : graph.successors) put(value);
  for (auto value : graph.predecessors) put(value);
  for (const auto& order : graph.end_order) {
    for (auto value : order) put(value);
  }
  return numbers;
}

TEST(BuildProgram, GivesTheSameGraphsEachTime) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Problem problem = test::random_problem(seed);
    const PoolSizes sizes = test::random_pools(problem, seed);
    const Program a = build_program(problem, sizes);
    const Program b = build_program(problem, sizes);
    for (std::size_t i = 0; i < kVariantCount; ++i)
      EXPECT_EQ(fingerprint(a.graphs[i]), fingerprint(b.graphs[i])) << test::describe(problem);
  }
}

TEST(MinimumPools, IsTheLeastThatBuilds) {
  for (std::uint64_t seed = 0; seed < 60 / test::kSlowdown; ++seed) {
    const Problem problem = test::random_problem(seed);
    const PoolSizes least = minimum_pools(problem);
    EXPECT_NO_THROW(build_program(problem, least)) << test::describe(problem);
    for (std::size_t pool = 0; pool < least.size(); ++pool) {
      if (least[pool] == 0) continue;
      PoolSizes less = least;
      --less[pool];
      try {
        build_program(problem, less);
        ADD_FAILURE() << "pool " << pool << " does with one slot less: " << test::describe(problem);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::budget);
      }
    }
  }
}

Problem on_ssd(int layers, ScheduleKind schedule, double delay) {
  Problem p;
  p.elements.assign(static_cast<std::size_t>(layers) + 2, 9 * kGrain);
  p.elements.front() = p.elements.back() = 20 * kGrain;
  p.activation_bytes = 3 * 4096;
  p.micro_batches = 3;
  p.schedule = schedule;
  p.order = schedule == ScheduleKind::vertical ? Order::snake : Order::ascending;
  p.delay = delay;
  p.activations = {0.0, 0.0};
  p.gradients_host = 0.0;
  p.chunk_elements = 4 * kGrain;
  return p;
}

TEST(MinimumPools, NeedNoMoreMemoryForMoreLayersOnSsd) {
  for (ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
    for (double delay : {0.0, 0.3, 1.0}) {
      for (bool tied : {false, true}) {
        Problem small = on_ssd(4, schedule, delay);
        Problem large = on_ssd(32, schedule, delay);
        small.tied = large.tied = tied;
        const Map a = make_map(small, minimum_pools(small));
        const Map b = make_map(large, minimum_pools(large));
        const auto norm_partials = [](const Problem& p) { return 8 * std::accumulate(p.elements.begin(), p.elements.end(), std::uint64_t{0}) / kGrain; };
        EXPECT_EQ(a.space_bytes(Space::host) - norm_partials(small), b.space_bytes(Space::host) - norm_partials(large)) << "delay " << delay;
        EXPECT_EQ(a.space_bytes(Space::device), b.space_bytes(Space::device)) << "delay " << delay;
      }
    }
  }
}

// The first compute task that waits for each task, found by following edges and lanes forward from it.
std::int32_t first_waiting(const Graph& graph, const std::vector<TaskId>& next_in_lane, TaskId start) {
  auto best = static_cast<std::int32_t>(graph.tasks.size());
  std::vector<bool> seen(graph.tasks.size(), false);
  std::vector<TaskId> open{start};
  while (!open.empty()) {
    const TaskId id = open.back();
    open.pop_back();
    if (graph.tasks[static_cast<std::size_t>(id)].lane == Lane::compute) best = std::min(best, id);
    const auto visit = [&](TaskId to) {
      if (to < 0 || seen[static_cast<std::size_t>(to)]) return;
      seen[static_cast<std::size_t>(to)] = true;
      open.push_back(to);
    };
    for (TaskId to : graph.successors_of(id)) visit(to);
    visit(next_in_lane[static_cast<std::size_t>(id)]);
  }
  return best;
}

TEST(Priorities, AreThePositionOfTheFirstComputeTaskThatWaits) {
  for (std::uint64_t seed = 0; seed < 60 / test::kSlowdown; ++seed) {
    const Problem problem = test::random_problem(seed);
    const Program program = build_program(problem, minimum_pools(problem));
    for (Variant variant : test::built_variants(program)) {
      const Graph& graph = program.graph(variant);
      if (graph.tasks.size() > 1500) continue;
      std::vector<TaskId> next_in_lane(graph.tasks.size(), -1);
      std::array<TaskId, kLaneCount> behind;
      behind.fill(-1);
      for (std::size_t i = graph.tasks.size(); i-- > 0;) {
        const Lane lane = graph.tasks[i].lane;
        if (!runs_in_order(lane)) continue;
        next_in_lane[i] = behind[static_cast<std::size_t>(lane)];
        behind[static_cast<std::size_t>(lane)] = static_cast<TaskId>(i);
      }
      for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
        ASSERT_EQ(graph.tasks[i].priority, first_waiting(graph, next_in_lane, static_cast<TaskId>(i)))
            << "task " << i << " of " << test::describe(problem);
      }
    }
  }
}

std::vector<std::string> names(const std::vector<Visit>& visits) {
  std::vector<std::string> list;
  for (const Visit& visit : visits) {
    std::string name(1, "fhb"[static_cast<std::size_t>(visit.pass)]);
    name += std::to_string(visit.unit) + ":";
    for (int m : visit.micro_batches) name += std::to_string(m);
    list.push_back(name);
  }
  return list;
}

using Names = std::vector<std::string>;

TEST(Visits, OfSnakeTurnAtEveryVisitAndStartAscending) {
  Problem p = test::mixed_problem(ScheduleKind::vertical, 4, 3);
  EXPECT_EQ(names(training_visits(p)), (Names{"f0:012", "f1:210", "f2:012", "h3:210", "b2:012", "b1:210", "b0:012"}));
  EXPECT_EQ(names(forward_visits(p)), (Names{"f0:012", "f1:210", "f2:012", "h3:210"}));
}

TEST(Visits, OfAscendingNeverTurn) {
  Problem p = test::mixed_problem(ScheduleKind::vertical, 3, 3);
  p.order = Order::ascending;
  EXPECT_EQ(names(training_visits(p)), (Names{"f0:012", "f1:012", "h2:012", "b1:012", "b0:012"}));
}

TEST(Visits, OfHorizontalTakeAMicroBatchThroughAllUnits) {
  const Problem p = test::mixed_problem(ScheduleKind::horizontal, 3, 2);
  EXPECT_EQ(names(training_visits(p)), (Names{"f0:0", "f1:0", "h2:0", "b1:0", "b0:0", "f0:1", "f1:1", "h2:1", "b1:1", "b0:1"}));
  EXPECT_EQ(names(forward_visits(p)), (Names{"f0:01", "f1:01", "h2:01"}));
}

TEST(Validate, RefusesProblemsWithoutAGraph) {
  const auto refused = [](auto change) {
    Problem p = test::mixed_problem(ScheduleKind::vertical, 3, 2);
    change(p);
    try {
      make_map(p, {});
    } catch (const Error& error) {
      return error.kind() == ErrorKind::usage;
    }
    return false;
  };
  EXPECT_FALSE(refused([](Problem&) {}));
  EXPECT_TRUE(refused([](Problem& p) { p.elements.resize(1); }));
  EXPECT_TRUE(refused([](Problem& p) { p.elements[1] = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.micro_batches = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.delay = 1.5; }));
  EXPECT_TRUE(refused([](Problem& p) { p.weights = {0.7, 0.7}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.state_bytes.assign(4, 4); }));
  EXPECT_TRUE(refused([](Problem& p) { p.chunk_elements = 1000; }));
  EXPECT_TRUE(refused([](Problem& p) { p.activation_bytes = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.schedule = ScheduleKind::horizontal; }));
}

TEST(EffectiveDelay, IsTheShareAfterRoundingEachObject) {
  Problem p = on_ssd(2, ScheduleKind::vertical, 0.5);
  EXPECT_DOUBLE_EQ(effective_delay(p), (10.0 + 5.0 + 5.0 + 10.0) / 58.0);  // 4.5 grains of 9 round to 5
  p.delay = 0.01;
  EXPECT_DOUBLE_EQ(effective_delay(p), 0.0);
  EXPECT_FALSE(build_program(p, minimum_pools(p)).delayed);
}

}  // namespace
}  // namespace gsnake::schedule
