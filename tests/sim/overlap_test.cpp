// Whether the graph lets the slowest lane work without a pause: in simulated time, so that only edges, slots and priorities count.
#include <gtest/gtest.h>

#include <algorithm>

#include "schedule/support.h"
#include "sim/simulation.h"

namespace gsnake::sim {

using namespace schedule;

namespace {

constexpr std::uint64_t kUnit = 96 * kGrain;
constexpr std::size_t kGraphs = 8;

Problem streamed(double delay, int micro_batches, ScheduleKind schedule, double gradients_host) {
  Problem p;
  for (std::uint64_t elements : {20 * kGrain, kUnit, kUnit, kUnit, kUnit, kUnit, kUnit, kUnit, kUnit, kGrain}) {
    add_unit(p, {.elements = elements});
    p.units.back().forward_flops = static_cast<double>(elements);
  }
  p.units.back().objects.push_back(0);
  p.activation_bytes = 16384;
  p.ids_bytes = 512;
  p.micro_batches = micro_batches;
  p.schedule = schedule;
  p.order = schedule == ScheduleKind::vertical ? Order::snake : Order::ascending;
  p.delay = delay;
  p.activations = {0.0, 0.0};
  p.gradients_host = gradients_host;
  p.commits = true;
  p.chunk_elements = 16 * kGrain;
  return p;
}

// As plan_memory() gives where there is room.
PoolSizes generous(const Problem& problem) {
  const Map map = make_map(problem, {});
  PoolSizes sizes = minimum_pools(problem);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const PoolRole role = map.pools[i].role;
    if (role == PoolRole::host_chunk) sizes[i] = std::max(3 * sizes[i], sizes[i] + 16);
    if (sizes[i] > 0 && (role == PoolRole::host_activation || role == PoolRole::device_activation)) sizes[i] += 2;
    if (sizes[i] > 0 && (role == PoolRole::device_weight_parts || role == PoolRole::device_gradient_parts)) sizes[i] += 1;
  }
  return sizes;
}

double most_bytes(const Graph& graph, const std::vector<Lane>& lanes) {
  double most = 0.0;
  for (Lane lane : lanes) most = std::max(most, static_cast<double>(graph.lane_bytes(lane)));
  return most;
}

// The slow lanes move a byte in a second; the others take `share` of the slowest one's time.
std::array<double, kLaneCount> rates_of(const Graph& graph, const std::vector<Lane>& slow, double share) {
  const double limit = most_bytes(graph, slow);
  std::array<double, kLaneCount> rates{};
  for (Lane lane : {Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer, Lane::collective}) {
    const bool is_slow = std::find(slow.begin(), slow.end(), lane) != slow.end();
    rates[static_cast<std::size_t>(lane)] = is_slow ? 1.0 : static_cast<double>(graph.lane_bytes(lane)) / (share * limit);
  }
  double flops = 0.0;
  for (const Task& task : graph.tasks) flops += task.flops;
  rates[static_cast<std::size_t>(Lane::compute)] = flops / (share * limit);
  return rates;
}

struct Outcome {
  double ratio = 0.0;       // of a steady step's time to what the slowest lane's bytes take
  bool reads_ahead = true;  // a step's first read begins before the last write of the step before ends
};

Outcome run(const Problem& problem, const std::vector<Lane>& slow, double share) {
  const Program program = build_program(problem, generous(problem));
  const Variant steady = program.delayed ? Variant::train : Variant::train_first;
  std::vector<sim::Stop> walk{{Variant::load}, {Variant::train_first}};
  walk.resize(kGraphs, {steady});
  const Graph& graph = program.graph(steady);
  const auto graphs = sim::simulate(program, walk, machine_of(rates_of(graph, slow, share)));
  Outcome outcome;
  constexpr std::size_t kFirst = 3;  // of the steady ones; before it the pipeline fills
  const double seconds = graphs.back().last_end(Lane::compute) - graphs[kFirst].last_end(Lane::compute);
  outcome.ratio = seconds / static_cast<double>(kGraphs - 1 - kFirst) / most_bytes(graph, slow);
  for (std::size_t g = kFirst; g + 1 < kGraphs; ++g) {
    outcome.reads_ahead = outcome.reads_ahead && graphs[g + 1].first_begin(Lane::ssd_read) < graphs[g].last_end(Lane::ssd_write);
  }
  return outcome;
}

const std::vector<std::vector<Lane>> kSlow{{Lane::ssd_read}, {Lane::ssd_write}, {Lane::ssd_read, Lane::ssd_write}};

// Everything on SSD. The bound is the issue's: the slowest lane is idle for less than a tenth of the time that its bytes take.
TEST(Overlap, KeepsTheSlowestSsdLaneBusyAcrossSteps) {
  for (const ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
    for (const int micro_batches : {1, 2, 4}) {
      for (const double delay : {0.0, 0.25, 0.5, 0.7, 1.0}) {
        for (const auto& slow : kSlow) {
          const Problem problem = streamed(delay, micro_batches, schedule, 0.0);
          SCOPED_TRACE(schedule::test::describe(problem) + ", slow: " + kLaneNames[static_cast<std::size_t>(slow.front())] + (slow.size() > 1 ? " and the other" : ""));
          const Outcome outcome = run(problem, slow, 0.1);
          EXPECT_LE(outcome.ratio, 1.10);
          EXPECT_TRUE(outcome.reads_ahead);
        }
      }
    }
  }
}

// With all of the update delayed and its gradients in host memory, backward has nothing to write: its compute time adds to that of the writes,
// here a twentieth of it at most.
TEST(Overlap, OfGradientsInHostMemoryIsBoundedByWhatBackwardComputes) {
  for (const auto& slow : kSlow) {
    SCOPED_TRACE(kLaneNames[static_cast<std::size_t>(slow.front())]);
    EXPECT_LE(run(streamed(1.0, 4, ScheduleKind::vertical, 1.0), slow, 0.05).ratio, 1.06);
  }
}

// Of several ranks: what binds is the link, the copies or both, which bring and take a part while another one is gathered or added up.
TEST(Overlap, KeepsTheLinkBetweenRanksBusy) {
  for (const int ranks : {2, 4}) {
    for (const ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
      for (const double delay : {0.0, 0.5, 1.0}) {
        for (const auto& slow : std::vector<std::vector<Lane>>{{Lane::collective}, {Lane::ssd_read}, {Lane::h2d}}) {
          Problem problem = streamed(delay, 2, schedule, 1.0);
          share_out(problem, 0, ranks);
          SCOPED_TRACE(schedule::test::describe(problem) + ", " + std::to_string(ranks) + " ranks, slow: " + kLaneNames[static_cast<std::size_t>(slow.front())]);
          EXPECT_LE(run(problem, slow, 0.1).ratio, 1.10);
          if (schedule == ScheduleKind::vertical) {
            EXPECT_LE(run(problem, slow, 0.5).ratio, 1.30);
          }
        }
      }
    }
  }
}

// That the simulation can tell: with no slot to spare, lanes wait for one another.
TEST(Overlap, NeedsSlotsToRunAhead) {
  const Problem problem = streamed(0.0, 2, ScheduleKind::vertical, 0.0);
  const Program program = build_program(problem, minimum_pools(problem));
  std::vector<sim::Stop> walk{{Variant::load}};
  walk.resize(kGraphs, {Variant::train_first});
  const Graph& graph = program.graph(Variant::train_first);
  const auto graphs = sim::simulate(program, walk, machine_of(rates_of(graph, {Lane::ssd_write}, 0.5)));
  EXPECT_GT(graphs.back().last_end(Lane::compute) / static_cast<double>(kGraphs - 1) / most_bytes(graph, {Lane::ssd_write}), 1.5);
}

double seconds_of(const Problem& problem, const Machine& machine) {
  const Program program = build_program(problem, minimum_pools(problem));
  const std::vector<SimulatedGraph> graphs = simulate(program, {{Variant::load}, {Variant::train_first}, {Variant::train}, {Variant::train}}, machine);
  double end = 0.0;
  for (const SimulatedTask& task : graphs.back().tasks) end = std::max(end, task.end);
  return end;
}

// They stand on the lane that steps wait for, but wait for nothing that leaves the device: however slowly that goes, computing goes on as without them.
TEST(Overlap, NormsOnTheDeviceHoldUpNobody) {
  for (const ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
    for (const int micro_batches : {1, 4}) {
      for (const double copies_per_visit : {0.1, 0.8, 3.0}) {
        SCOPED_TRACE(std::to_string(micro_batches) + " micro-batches, copies for " + std::to_string(copies_per_visit) + " of a visit's time");
        Problem problem = schedule::test::mixed_problem(schedule, 8, micro_batches);
        problem.delay = 1.0;
        problem.weights = problem.optimizer = {0.0, 1.0};
        problem.chunk_elements = 2 * kGrain;
        for (Object& object : problem.objects) object.elements = 40 * kGrain;
        Machine machine;
        machine.units.assign(problem.units.size(), {1e-3, 3e-3, 0.0});
        const double visit = 3e-3 * micro_batches;
        machine.rates[static_cast<std::size_t>(Lane::d2h)] = 4.0 * static_cast<double>(padded_elements(problem.objects[3].elements)) / (copies_per_visit * visit);
        const double without = seconds_of(problem, machine);
        problem.norms_on_device = true;
        EXPECT_LE(seconds_of(problem, machine), 1.005 * without);
      }
    }
  }
}

}  // namespace
}  // namespace gsnake::sim
