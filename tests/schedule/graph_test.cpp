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
    for (const auto value : {static_cast<int>(t.op), static_cast<int>(t.lane), static_cast<int>(t.opens), static_cast<int>(t.last),
                             static_cast<int>(t.step_offset), t.unit, t.micro_batch, t.chunk, t.priority}) {
      put(value);
    }
    put(t.first_access);
    put(t.accesses);
    put(t.bytes);
  }
  for (const Access& a : graph.access_list) {
    for (const auto value : {static_cast<int>(a.role), static_cast<int>(a.mode), static_cast<int>(a.use), a.resource}) put(value);
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
  for (int unit = 0; unit < layers + 2; ++unit) add_unit(p, {.elements = (unit == 0 || unit == layers + 1 ? 20 : 9) * kGrain});
  p.activation_bytes = 3 * 4096;
  p.ids_bytes = 64;
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
        for (Problem* p : {&small, &large}) {
          if (tied) p->units.back().objects.push_back(0);
        }
        const Map a = make_map(small, minimum_pools(small));
        const Map b = make_map(large, minimum_pools(large));
        const auto norm_partials = [](const Problem& p) {
          std::uint64_t bytes = 0;
          for (const Object& object : p.objects) bytes += 8 * object.elements / kGrain;
          return bytes;
        };
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
  EXPECT_TRUE(refused([](Problem& p) { p.units.resize(1); }));
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].elements = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.micro_batches = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.delay = 1.5; }));
  EXPECT_TRUE(refused([](Problem& p) { p.weights = {0.7, 0.7}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].state_bytes.assign(4, 4); }));
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].weight_bytes = 1; }));
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].packed_bytes = 100; })) << "it is trained";
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].trained = false; })) << "it has state";
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].owned = Range{0, kGrain - 1}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.objects[1].owned = Range{4 * kGrain, 2 * kGrain}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.ranks = 2; })) << "each rank owns everything";
  EXPECT_TRUE(refused([](Problem& p) {
    share_out(p, 1, 2);
    p.rank = 0;
  }));
  EXPECT_TRUE(refused([](Problem& p) { p.units[1].objects.clear(); }));
  EXPECT_TRUE(refused([](Problem& p) { p.units[1].objects = {1, 1}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.units[1].objects = {3}; }));
  EXPECT_TRUE(refused([](Problem& p) { p.units[1].objects = {0}; })) << "nobody uses object 1";
  EXPECT_TRUE(refused([](Problem& p) { p.chunk_elements = 1000; }));
  EXPECT_TRUE(refused([](Problem& p) { p.activation_bytes = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.ids_bytes = 0; }));
  EXPECT_TRUE(refused([](Problem& p) { p.schedule = ScheduleKind::horizontal; }));
}

TEST(BuildProgram, RefusesAnOnlyRankThatOwnsAPartOfAnObject) {
  Problem p = test::mixed_problem(ScheduleKind::vertical, 3, 2);
  const PoolSizes sizes = minimum_pools(p);
  p.objects[1].owned = p.objects[1].range();
  EXPECT_NO_THROW(build_program(p, sizes)) << "it is all of it";
  p.objects[1].owned = Range{kGrain, 2 * kGrain};
  try {
    build_program(p, sizes);
    ADD_FAILURE() << "it was built";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("object 1"), std::string::npos) << error.what();
  }
}

TEST(PartOf, SharesOutEveryGrainOnce) {
  for (std::uint64_t grains = 1; grains < 12; ++grains) {
    for (const Object& object : {Object{.elements = grains * kGrain - 5}, Object{.elements = 1, .trained = false, .packed_bytes = grains * kPackedGrain, .state_bytes = {}}}) {
      for (int ranks = 1; ranks < 6; ++ranks) {
        std::uint64_t next = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          const Range part = part_of(object, rank, ranks);
          EXPECT_EQ(part.begin, next);
          EXPECT_EQ(part.cells % object.grain(), 0U);
          EXPECT_LE(part.cells, part_cells(object, ranks));
          next += part.cells;
        }
        EXPECT_EQ(next, object.cells());
      }
    }
  }
}

// Each visit gathers each object of its unit once, and what it has gathered of gradients is added up once: whatever micro-batches it has.
TEST(BuildProgram, GathersOnceAVisitAndAddsUpOnceAPass) {
  Problem p = test::mixed_table(ScheduleKind::vertical, 3, 1);
  share_out(p, 1, 2);
  const Program program = build_program(p, minimum_pools(p));
  std::size_t uses = 0;
  std::size_t sums = 0;
  for (const Visit& visit : training_visits(p)) {
    uses += p.uses(visit.unit).size();
    for (int object : p.uses(visit.unit)) sums += visit.pass != Pass::forward && p.object(object).trained ? 1 : 0;
  }
  const auto count = [&](Op op) {
    const std::vector<Task>& tasks = program.graph(Variant::train).tasks;
    return static_cast<std::size_t>(std::count_if(tasks.begin(), tasks.end(), [op](const Task& task) { return task.op == op; }));
  };
  EXPECT_EQ(count(Op::all_gather), uses);
  EXPECT_EQ(count(Op::reduce_scatter), sums);
}

// Frozen units at the bottom are passed forward only.
TEST(TrainingVisits, GoBackDownToTheFirstUnitWithATrainedObject) {
  for (ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
    for (int frozen : {0, 1, 3}) {
      const Problem p = test::mixed_table(schedule, 2, frozen);
      EXPECT_EQ(first_trained_unit(p), frozen);
      std::vector<int> backward(static_cast<std::size_t>(p.unit_count()), 0);
      for (const Visit& visit : training_visits(p)) {
        if (visit.pass == Pass::backward) ++backward[static_cast<std::size_t>(visit.unit)];
      }
      const int rounds = schedule == ScheduleKind::vertical ? 1 : 2;
      for (int unit = 0; unit + 1 < p.unit_count(); ++unit) EXPECT_EQ(backward[static_cast<std::size_t>(unit)], unit < frozen ? 0 : rounds);
    }
  }
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
