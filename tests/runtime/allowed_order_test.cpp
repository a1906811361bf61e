// The executor runs tasks in an order that the simulator might have: the same edges, lanes, and graphs in flight.
#include <gtest/gtest.h>

#include "device/async_device.h"
#include "runtime/rig.h"
#include "sim/allowed_order.h"

namespace gsnake::runtime::test {
namespace {

// Of graphs that follow one another.
std::vector<sim::SimulatedGraph> times_of(const Trace& trace) {
  std::vector<sim::SimulatedGraph> graphs;
  std::int64_t last = -1;
  for (const Trace::Event& event : trace.events()) {
    if (event.sequence != last) {
      sim::SimulatedGraph& made = graphs.emplace_back();
      made.graph = event.graph;
      made.tasks.resize(event.graph->tasks.size());
      for (sim::SimulatedTask& task : made.tasks) task.carried_out = false;
      last = event.sequence;
    }
    sim::SimulatedTask& task = graphs.back().tasks[static_cast<std::size_t>(event.task)];
    task.begin = static_cast<double>(event.times.begin_ns);
    task.end = static_cast<double>(event.times.end_ns);
    task.carried_out = true;
  }
  return graphs;
}

sim::Machine lanes_of(const Setup& setup) {
  sim::Machine machine;
  for (schedule::Lane lane : {schedule::Lane::ssd_read, schedule::Lane::ssd_write}) machine.lanes[static_cast<std::size_t>(lane)].at_once = schedule::kSsdTasksInFlight;
  machine.lanes[static_cast<std::size_t>(schedule::Lane::optimizer)].at_once = static_cast<int>(setup.optimizer_threads);
  return machine;
}

TEST(ExecutedOrder, IsOneThatTheSimulatorAllows) {
  for (std::uint64_t seed = 0; seed < seeds(20); ++seed) {
    const test::Setup setup = random_setup(seed);
    SCOPED_TRACE(describe(setup));
    device::AsyncDevice device;
    Rig rig(setup, device);
    Trace trace;
    rig.load();
    rig.executor().record(&trace);
    for (int step = 0; step < 5; ++step) rig.train();
    rig.finish();
    std::vector<sim::SimulatedGraph> graphs = times_of(trace);
    ASSERT_GE(graphs.size(), 5U);
    EXPECT_EQ(sim::test::first_violation(rig.program(), graphs, lanes_of(setup), sim::test::Clock::measured), "");
    // That it could be noticed: the results of the third step before its first task.
    sim::SimulatedGraph& third = graphs[2];
    for (std::size_t i = 0; i < third.tasks.size(); ++i) {
      if (third.graph->tasks[i].op == schedule::Op::conclude) third.tasks[i].begin = third.tasks[i].end = 1.0;
    }
    EXPECT_NE(sim::test::first_violation(rig.program(), graphs, lanes_of(setup), sim::test::Clock::measured), "");
  }
}

}  // namespace
}  // namespace gsnake::runtime::test
