// What updates on the device move, and what they do not.
#include <gtest/gtest.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "schedule/graph.h"
#include "schedule/traffic.h"
#include "support.h"

namespace gsnake::schedule {
namespace {

Problem problem_of(double delay, const Fractions& state, double update_device) {
  Problem p;
  for (std::uint64_t grains : {8, 12, 12, 8}) add_unit(p, {.elements = grains * kGrain, .weight_bytes = 2, .state_bytes = {2, 4, 4}, .master = true});
  p.activation_bytes = 4096;
  p.ids_bytes = 64;
  p.micro_batches = 3;
  p.delay = delay;
  p.weights = p.optimizer = state;
  p.chunk_elements = 2 * kGrain;
  p.update_device = update_device;
  return p;
}

// The copies of trained objects on a lane, by where they come from and go to.
struct Copies {
  int between_host_and_device = 0;
  int on_device = 0;
};

Copies copies_of(const Program& program, const Graph& graph, Lane lane, bool (*wanted)(const Chunk&)) {
  Copies copies;
  for (const Task& task : graph.tasks) {
    if (task.op != Op::copy || task.lane != lane || task.chunk < 0 || !wanted(program.map.chunks[static_cast<std::size_t>(task.chunk)])) continue;
    const auto space = [&](Role role) { return program.map.buffers[static_cast<std::size_t>(graph.find(task, role)->resource)].space; };
    ++(space(Role::source) == space(Role::destination) ? copies.on_device : copies.between_host_and_device);
  }
  return copies;
}

int chunks_of(const Map& map, bool (*wanted)(const Chunk&)) { return static_cast<int>(std::count_if(map.chunks.begin(), map.chunks.end(), wanted)); }
bool any(const Chunk&) { return true; }

TEST(DeviceUpdates, OfWhatIsKeptOnTheDeviceMoveNothingToOrFromHostMemory) {
  const Problem problem = problem_of(0.0, {1.0, 0.0}, 1.0);
  const Program program = build_program(problem, minimum_pools(problem));
  const Graph& graph = program.graph(Variant::train_first);
  EXPECT_EQ(copies_of(program, graph, Lane::h2d, any).between_host_and_device, 0);
  // Norm partials, and a word an object.
  EXPECT_EQ(copies_of(program, graph, Lane::d2h, any).between_host_and_device, chunks_of(program.map, any) + problem.object_count());
  EXPECT_TRUE(std::none_of(graph.tasks.begin(), graph.tasks.end(), [](const Task& task) { return task.op == Op::update && task.lane != Lane::compute; }));
}

TEST(DeviceUpdates, OfDelayedChunksBringTheNewWeightsToTheirSlotWithoutASecondTrip) {
  const Problem problem = problem_of(1.0, {0.0, 1.0}, 1.0);
  const Program program = build_program(problem, minimum_pools(problem));
  const Graph& graph = program.graph(Variant::validate_pending);
  const int chunks = chunks_of(program.map, any);
  const Copies to_device = copies_of(program, graph, Lane::h2d, any);
  EXPECT_EQ(to_device.between_host_and_device, 5 * chunks);  // the gradient, the weights, three states
  EXPECT_EQ(to_device.on_device, chunks);
}

TEST(DeviceUpdates, AreOfTheFirstElementsOfEachObject) {
  const Problem problem = problem_of(0.25, {0.0, 0.0}, 0.5);
  const Map map = make_map(problem, {});
  for (const Chunk& chunk : map.chunks) EXPECT_EQ(chunk.updates_on_device, chunk.begin < map.object_of(chunk).cells() / 2);
}

TEST(DeviceUpdates, LeaveToTheCpuWhatIsAddedUpInHostMemory) {
  Problem problem = problem_of(0.25, {0.0, 0.0}, 1.0);
  problem.units.back().objects.push_back(0);
  const Map map = make_map(problem, {});
  for (const Chunk& chunk : map.chunks) EXPECT_EQ(chunk.updates_on_device, chunk.object != 0 || chunk.delayed);
  Problem horizontal = problem_of(0.25, {0.0, 0.0}, 1.0);
  horizontal.schedule = ScheduleKind::horizontal;
  horizontal.order = Order::ascending;
  for (const Chunk& chunk : make_map(horizontal, {}).chunks) EXPECT_TRUE(chunk.updates_on_device);
  share_out(horizontal, 0, 2);
  for (const Chunk& chunk : make_map(horizontal, {}).chunks) EXPECT_EQ(chunk.updates_on_device, chunk.delayed);
}

std::vector<Lane> lanes_of_norms(const Problem& problem) {
  const Program program = build_program(problem, minimum_pools(problem));
  std::vector<Lane> lanes(program.map.chunks.size(), Lane::commit);  // where there is none
  for (const Task& task : program.graph(Variant::train_first).tasks) {
    if (task.op == Op::norm) lanes[static_cast<std::size_t>(task.chunk)] = task.lane;
  }
  return lanes;
}

TEST(NormsOnTheDevice, AreThoseOfDelayedChunksWhoseSumIsFinishedThere) {
  Problem problem = problem_of(0.5, {0.0, 1.0}, 0.0);
  const Map map = make_map(problem, {});
  for (const bool on_device : {false, true}) {
    problem.norms_on_device = on_device;
    const std::vector<Lane> lanes = lanes_of_norms(problem);
    for (std::size_t c = 0; c < lanes.size(); ++c) EXPECT_EQ(lanes[c], !map.chunks[c].delayed ? Lane::commit : on_device ? Lane::compute : Lane::optimizer);
  }
  problem.units.back().objects.push_back(0);  // tied: added up in host memory
  const Map tied = make_map(problem, {});
  const std::vector<Lane> lanes = lanes_of_norms(problem);
  for (std::size_t c = 0; c < lanes.size(); ++c) EXPECT_EQ(lanes[c], !tied.chunks[c].delayed ? Lane::commit : tied.chunks[c].object == 0 ? Lane::optimizer : Lane::compute);
  share_out(problem, 0, 2);
  for (Lane lane : lanes_of_norms(problem)) EXPECT_NE(lane, Lane::compute) << "computing would wait for the ranks' sum";
}

TEST(NormsOnTheDevice, SpareTheOptimizerAPassForEightBytesOfEachBlock) {
  Problem problem = problem_of(1.0, {0.0, 0.0}, 0.0);
  const StepTraffic on_cpu = training_traffic(problem);
  problem.norms_on_device = true;
  const StepTraffic on_device = training_traffic(problem);
  const std::uint64_t elements = 40 * kGrain;
  EXPECT_EQ(on_cpu.gradients.optimizer - on_device.gradients.optimizer, 4 * elements);
  EXPECT_EQ(on_device.gradients.compute - on_cpu.gradients.compute, 4 * elements);
  EXPECT_EQ(on_device.gradients.d2h - on_cpu.gradients.d2h, 8 * elements / kGrain);
  EXPECT_EQ(on_device.total().ssd_read + on_device.total().h2d, on_cpu.total().ssd_read + on_cpu.total().h2d);
}

TEST(DeviceUpdates, AreRefusedBeyondAllAndWhereNothingIsTrained) {
  Problem problem = problem_of(0.0, {0.0, 0.0}, 1.5);
  EXPECT_THROW(make_map(problem, {}), Error);
  problem.update_device = 0.5;
  for (Object& object : problem.objects) object = {.elements = object.elements, .trained = false, .state_bytes = {}};
  EXPECT_THROW(make_map(problem, {}), Error);
}

}  // namespace
}  // namespace gsnake::schedule
