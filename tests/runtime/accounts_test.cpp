// What an executor tells of its work: the trace, and bytes and busy time by lane.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "device/async_device.h"
#include "runtime/rig.h"
#include "schedule/task_name.h"

namespace gsnake::runtime::test {
namespace {

using nlohmann::json;

// A task in a trace: step, lane, name, bytes.
using Told = std::tuple<std::int64_t, std::string, std::string, std::uint64_t>;

// Those that a graph carries out.
void add_tasks(std::multiset<Told>& tasks, Rig& rig, const Started& started) {
  const schedule::Conditions conditions = rig.executor().conditions(started.ticket);
  for (const schedule::Task& task : rig.program().graph(started.variant).tasks) {
    if (!conditions.carry_out(task)) continue;
    tasks.emplace(started.batch.step, schedule::kLaneNames[static_cast<std::size_t>(task.lane)], schedule::name_of(task), task.bytes);
  }
}

std::vector<json> tasks_of(const json& trace) {
  std::vector<json> tasks;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") tasks.push_back(event);
  }
  return tasks;
}

class TraceTest : public testing::Test {
 protected:
  TraceTest() {
    setup_.slots = 2;
    setup_.problem.commits = true;
  }

  // Steps 3 to 5 of seven, with two in flight, the middle one not to be committed.
  json record(Rig& rig, std::multiset<Told>& expected) {
    Trace trace;
    rig.load();
    std::vector<Executor::Ticket> recorded;
    for (int step = 1; step <= 7; ++step) {
      if (step == 3) rig.executor().record(&trace);
      if (step == 6) rig.executor().record(nullptr);
      const Started& started = rig.train(step != 4);
      if (step < 3 || step > 5) continue;
      add_tasks(expected, rig, started);
      recorded.push_back(started.ticket);
    }
    rig.finish();
    trace.write(rig.folder() + "/trace.json");
    std::ifstream file(rig.folder() + "/trace.json");
    return json::parse(file);
  }

  test::Setup setup_ = ssd_setup();
  device::AsyncDevice device_;
};

TEST_F(TraceTest, HoldsEachTaskOfTheRecordedStepsOnce) {
  Rig rig(setup_, device_);
  std::multiset<Told> expected;
  std::multiset<Told> found;
  for (const json& task : tasks_of(record(rig, expected))) {
    EXPECT_GE(task.at("ts"), 0.0);
    EXPECT_GE(task.at("dur"), 0.0);
    const json& more = task.at("args");
    found.emplace(more.at("step").get<std::int64_t>(), task.at("cat").get<std::string>(), task.at("name").get<std::string>(),
                  more.at("bytes").get<std::uint64_t>());
  }
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(found, expected);
}

TEST_F(TraceTest, HasARowForEachLaneAndMoreWhereTasksOverlap) {
  Rig rig(setup_, device_);
  std::multiset<Told> ignored;
  const json trace = record(rig, ignored);
  std::map<int, std::string> lane_of_row;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "M") lane_of_row[event.at("tid")] = event.at("args").at("name");
  }
  std::map<int, double> busy_until;
  std::set<std::string> lanes;
  for (const json& task : tasks_of(trace)) {
    const int row = task.at("tid");
    ASSERT_EQ(lane_of_row.count(row), 1U);
    EXPECT_EQ(lane_of_row[row], task.at("cat"));
    lanes.insert(task.at("cat"));
    const double begin = task.at("ts");
    EXPECT_GE(begin, busy_until[row] - 1e-3) << task;  // microseconds, of which a double in JSON keeps nanoseconds
    busy_until[row] = begin + task.at("dur").get<double>();
  }
  EXPECT_THAT(lanes, testing::UnorderedElementsAre("compute", "h2d", "d2h", "ssd_read", "ssd_write", "optimizer", "commit"));
}

TEST_F(TraceTest, NamesTheFileThatCannotBeWritten) {
  const Trace trace;
  EXPECT_THAT(store::testing::message_of(ErrorKind::storage, [&] { trace.write("/dev/full"); }), testing::HasSubstr("/dev/full"));
}

// A journey of steps, validations and finishes, some steps not to be committed.
void expect_counted_bytes(std::uint64_t seed, device::Device& device) {
  Random random(seed);
  const Setup setup = seed % 2 == 0 ? random_table_setup(seed) : random_setup(seed);
  SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(setup));
  const auto begin = std::chrono::steady_clock::now();
  Rig rig(setup, device);
  std::array<std::uint64_t, schedule::kLaneCount> expected{};
  const auto count = [&](const Started& started) {
    rig.executor().wait_results(started.ticket);  // what the step before comes to is known then
    const schedule::Graph& graph = rig.program().graph(started.variant);
    for (std::size_t lane = 0; lane < expected.size(); ++lane) {
      expected[lane] += graph.lane_bytes(static_cast<Lane>(lane), rig.executor().conditions(started.ticket));
    }
  };
  count(rig.load());
  for (int i = 0; i < 6; ++i) {
    const std::uint64_t draw = random.below(8);
    if (draw == 0) {
      rig.finish();
      count(rig.started().back());
    } else {
      count(draw == 1 ? rig.validate() : rig.train(random.coin() || setup.problem.guard == schedule::Guard::speculative));
    }
  }
  rig.finish();
  count(rig.started().back());
  const LaneTotals totals = rig.executor().totals();
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
  for (std::size_t lane = 0; lane < expected.size(); ++lane) {
    SCOPED_TRACE(schedule::kLaneNames[lane]);
    EXPECT_EQ(totals.bytes[lane], expected[lane]);
    EXPECT_LE(totals.busy_ms[lane], elapsed.count());
    EXPECT_TRUE(totals.busy_ms[lane] > 0.0 || expected[lane] == 0);
  }
}

TEST(LaneTotals, CountTheBytesOfTheTasksThatWereCarriedOut) {
  for (std::uint64_t seed = 1; seed <= seeds(40) && !testing::Test::HasFailure(); ++seed) {
    device::AsyncDevice device({.seed = seed});
    expect_counted_bytes(seed, device);
  }
}

}  // namespace
}  // namespace gsnake::runtime::test
