// Ranks that run each step together: what their collectives take, by themselves and beside other lanes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "greedysnake/error.h"
#include "schedule/support.h"
#include "schedule/traffic.h"
#include "sim/prediction.h"

namespace gsnake::sim {

using namespace schedule;

namespace {

constexpr std::size_t at(Lane lane) { return static_cast<std::size_t>(lane); }
constexpr std::size_t at(Resource resource) { return static_cast<std::size_t>(resource); }

Task collective(Op op, std::uint64_t bytes) {
  Task task;
  task.op = op;
  task.lane = Lane::collective;
  task.bytes = bytes;
  return task;
}

MachineProfile linked() {
  MachineProfile profile;
  profile.name = "linked";
  profile.cpu.cores = 8.0;
  profile.cpu.dram = 100.0;
  profile.compute.rates = {{"fp32", 1.0, 0.0}};
  profile.h2d.per_second = 20.0;
  profile.d2h.per_second = 16.0;
  profile.link = {.per_second = 10.0, .latency = 0.5, .adds = 40.0, .bus = 0.0, .share = {.cores = 0.5, .dram = 4.0}};
  return profile;
}

Workload of_ranks(int ranks, int local_ranks = 1) {
  Workload workload;
  workload.ranks = ranks;
  workload.local_ranks = local_ranks;
  return workload;
}

TEST(RanksMachine, SendsAPartToEveryOtherRankAndAddsUpWhatComes) {
  const Machine machine = machine_of(linked(), of_ranks(4));
  EXPECT_DOUBLE_EQ(machine.seconds(collective(Op::all_gather, 400)), 30.0);  // 300 of 400 bytes come from others
  EXPECT_DOUBLE_EQ(machine.seconds(collective(Op::reduce_scatter, 400)), 40.0);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::collective).latency, 0.5);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::collective).uses[at(Resource::cores)], 0.5);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::collective).uses[at(Resource::dram)], 40.0);
  const Machine two = machine_of(linked(), of_ranks(2));
  EXPECT_DOUBLE_EQ(two.seconds(collective(Op::all_gather, 400)), 20.0);
  EXPECT_DOUBLE_EQ(two.seconds(collective(Op::reduce_scatter, 400)), 30.0);
}

TEST(RanksMachine, IsARanksPartOfItsMachine) {
  const Machine machine = machine_of(linked(), of_ranks(4, 2));
  EXPECT_DOUBLE_EQ(machine.capacity[at(Resource::cores)], 4.0);
  EXPECT_DOUBLE_EQ(machine.capacity[at(Resource::dram)], 50.0);
}

// Where ranks reach one another by the bus that brings them what they compute with.
TEST(RanksMachine, SharesTheBusOfCopiesWithItsLink) {
  MachineProfile profile = linked();
  EXPECT_DOUBLE_EQ(machine_of(profile, of_ranks(2)).capacity[at(Resource::bus_in)], 0.0);
  profile.link.bus = 1.0;
  const Machine machine = machine_of(profile, of_ranks(2));
  EXPECT_DOUBLE_EQ(machine.capacity[at(Resource::bus_in)], 20.0);
  EXPECT_DOUBLE_EQ(machine.capacity[at(Resource::bus_out)], 16.0);
  for (const Resource bus : {Resource::bus_in, Resource::bus_out}) EXPECT_DOUBLE_EQ(machine.lane(Lane::collective).uses[at(bus)], 10.0);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::h2d).uses[at(Resource::bus_in)], 20.0);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::h2d).uses[at(Resource::bus_out)], 0.0);
  EXPECT_DOUBLE_EQ(machine.lane(Lane::d2h).uses[at(Resource::bus_out)], 16.0);
}

TEST(RanksMachine, NeedsALinkThatIsKnown) {
  MachineProfile profile = linked();
  profile.link.per_second = 0.0;
  EXPECT_NO_THROW(machine_of(profile, of_ranks(1)));
  try {
    machine_of(profile, of_ranks(4));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("\"linked\" has no link.per_second"), testing::HasSubstr("4 ranks")));
  }
}

Problem shared(int ranks) {
  Problem problem = schedule::test::mixed_problem(ScheduleKind::vertical, 8, 3);
  share_out(problem, 0, ranks);
  return problem;
}

PoolSizes roomy(const Problem& problem) {
  PoolSizes sizes = minimum_pools(problem);
  for (int& slots : sizes) slots += slots > 0 ? 2 : 0;
  return sizes;
}

// Whatever takes no time but this lane takes what its bytes do, and the way that the step's length goes is its own.
TEST(RanksPrediction, OfASlowLinkIsWhatItsBytesTake) {
  for (const int ranks : {2, 3, 4}) {
    const Problem problem = shared(ranks);
    std::array<double, kLaneCount> rates{};
    rates[at(Lane::collective)] = 1e6;
    const Prediction prediction = predict(build_program(problem, roomy(problem)), machine_of(rates));
    const auto bytes = static_cast<double>(training_traffic(problem).total().collective);
    EXPECT_NEAR(prediction.step(), bytes / 1e6, 1e-6 * bytes / 1e6);
    EXPECT_EQ(prediction.binds(), Lane::collective);
    double gathers = 0.0;
    double scatters = 0.0;
    for (const PathPart& part : prediction.critical_path) {
      if (part.what == "collective: all_gather") gathers = part.seconds;
      if (part.what == "collective: reduce_scatter") scatters = part.seconds;
    }
    EXPECT_GT(gathers, 0.0);
    EXPECT_GT(scatters, 0.0);
    EXPECT_NEAR(gathers + scatters, prediction.step(), 1e-6 * prediction.step());
  }
}

// As the executor holds the lane back: by the whole of what is gathered or added up, whatever each rank sends.
TEST(RanksPrediction, KeepsToAnEmulatedRate) {
  const Problem problem = shared(4);
  std::array<double, kLaneCount> rates{};
  rates[at(Lane::collective)] = 1e9;
  Machine machine = machine_of(rates);
  machine.sent = 0.75;
  machine.lanes[at(Lane::collective)].emulated = 1e6;
  const Prediction prediction = predict(build_program(problem, roomy(problem)), machine);
  const double seconds = static_cast<double>(training_traffic(problem).total().collective) / 1e6;
  EXPECT_NEAR(prediction.lanes[at(Lane::collective)].limit, seconds, 1e-9 * seconds);
  EXPECT_GE(prediction.step(), seconds * (1 - 1e-9));
  EXPECT_LE(prediction.step(), 1.01 * seconds);
}

TEST(RanksPrediction, HasTheLaneInItsTimeline) {
  const Problem problem = shared(2);
  std::array<double, kLaneCount> rates{};
  rates.fill(1e8);
  PredictionOptions options;
  options.timeline = true;
  const Prediction prediction = predict(build_program(problem, roomy(problem)), machine_of(rates), options);
  std::uint64_t bytes = 0;
  for (const TimelineTask& task : prediction.timeline) bytes += task.lane == Lane::collective ? task.bytes : 0;
  EXPECT_EQ(bytes, 2 * training_traffic(problem).total().collective);  // two steps are shown
}

}  // namespace
}  // namespace gsnake::sim
