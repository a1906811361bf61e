#include "core/topology.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace gsnake::core {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST(Topology, SpreadsTheOptimizerOverTheNodesAndLeavesComputeTheRest) {
  const Topology topology("node:2 core:4 pu:2");
  EXPECT_EQ(topology.nodes(), 2U);
  EXPECT_EQ(topology.cores(), 8U);
  const auto split = topology.split(4, 3);
  ASSERT_TRUE(split);
  EXPECT_THAT(split->optimizer, ElementsAre(Cpus{6, 7}, Cpus{14, 15}, Cpus{4, 5}));
  EXPECT_THAT(split->compute, UnorderedElementsAre(0, 1, 2, 3, 8, 9, 10, 11, 12, 13));
}

TEST(Topology, GivesUpWhereThereAreTooFewCores) {
  const Topology topology("node:1 core:2 pu:1");
  EXPECT_TRUE(topology.split(1, 1));
  EXPECT_FALSE(topology.split(2, 1));
  EXPECT_FALSE(topology.split(1, 0)) << "nothing to keep apart";
}

TEST(Topology, TakesTheOtherNodesCoresWhereOneHasNoneLeft) {
  const auto split = Topology("node:2 core:2 pu:1").split(0, 4);
  ASSERT_TRUE(split);
  EXPECT_THAT(split->optimizer, ElementsAre(Cpus{1}, Cpus{3}, Cpus{0}, Cpus{2}));
  EXPECT_TRUE(split->compute.empty());
}

// Each package with fast memory beside its own.
TEST(Topology, MemoryBesideAPackagesOwnIsNoHomeOfItsProcessors) {
  const Topology topology("package:2 [numa] [numa] core:2 pu:1");
  EXPECT_EQ(topology.nodes(), 2U);
  unsigned found = 0;
  for (unsigned node = 0; node < 4; ++node) found += topology.cpus_of_node(node).empty() ? 0 : 1;
  EXPECT_EQ(found, 2U);
  EXPECT_THAT(topology.cpus_of_node(0), ElementsAre(0, 1));
}

TEST(Topology, RefusesWhatItDoesNotUnderstand) { EXPECT_THROW(Topology("no machine"), std::runtime_error); }

TEST(Topology, OfThisMachineIsWhatTheProcessMayUse) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  const Topology& machine = Topology::machine();
  EXPECT_GE(machine.cores(), 1U);
  EXPECT_LE(machine.cores(), static_cast<unsigned>(CPU_COUNT(&allowed)));
  const auto split = machine.split(0, machine.cores());
  ASSERT_TRUE(split);
  std::size_t processors = 0;
  for (const Cpus& core : split->optimizer) {
    processors += core.size();
    EXPECT_TRUE(std::all_of(core.begin(), core.end(), [&](unsigned cpu) { return CPU_ISSET(cpu, &allowed); }));
  }
  EXPECT_EQ(processors, static_cast<std::size_t>(CPU_COUNT(&allowed)));
}

TEST(Topology, AThreadKeepsToWhereItIsTold) {
  const Cpus wanted = Topology::machine().split(0, 1)->optimizer[0];
  cpu_set_t found;
  std::thread([&] {
    keep_to(wanted);
    keep_to({});
    ASSERT_EQ(sched_getaffinity(0, sizeof(found), &found), 0);
  }).join();
  EXPECT_EQ(CPU_COUNT(&found), static_cast<int>(wanted.size()));
  for (const unsigned cpu : wanted) EXPECT_TRUE(CPU_ISSET(cpu, &found));
}

TEST(Topology, KnowsTheProcessorsBesideANode) {
  const Topology topology("node:2 core:2 pu:2");
  EXPECT_THAT(topology.cpus_of_node(0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(topology.cpus_of_node(1), ElementsAre(4, 5, 6, 7));
  EXPECT_TRUE(topology.cpus_of_node(2).empty());
}

TEST(Topology, BindsNoMemoryOfAMachineThatIsOnlyDescribed) {
  std::byte byte{};
  EXPECT_EQ(Topology("node:2 core:1 pu:1").bind(&byte, 1, 1), std::errc::invalid_argument);
  EXPECT_EQ(Topology::machine().bind(&byte, 1, 4711), std::errc::invalid_argument) << "a node that is not there";
}

Cpus allowed_now() {
  cpu_set_t set;
  Cpus cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(KeptTo, IsForAScopeAndForTheThreadsThatBeginInIt) {
  const Cpus all = allowed_now();
  if (all.size() < 2) GTEST_SKIP() << "one processor: there is no keeping to a part of it";
  const Cpus wanted{all.back()};
  Cpus inside;
  Cpus inherited;
  {
    const KeptTo kept(wanted);
    inside = allowed_now();
    std::thread([&] { inherited = allowed_now(); }).join();
  }
  EXPECT_EQ(inside, wanted);
  EXPECT_EQ(inherited, wanted);
  EXPECT_EQ(allowed_now(), all);
  const KeptTo left({});
  EXPECT_EQ(allowed_now(), all);
}

}  // namespace
}  // namespace gsnake::core
