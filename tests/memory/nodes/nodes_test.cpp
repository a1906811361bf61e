// Where memory is put on a machine of two nodes: hwloc is told that this is one, and what it would ask of the kernel is written down instead.
#include <gmock/gmock.h>
#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "core/free_memory.h"
#include "core/topology.h"
#include "hf/logged.h"
#include "memory/anonymous.h"

namespace {

struct Call {
  const void* data = nullptr;
  std::size_t bytes = 0;
  std::vector<unsigned> nodes;
  hwloc_membind_policy_t policy = HWLOC_MEMBIND_DEFAULT;
  int flags = 0;
};
std::vector<Call> calls;
int refusal = 0;  // errno of the next BIND; 0: it is granted

// Before hwloc is first asked for the machine.
const bool is_described = ::setenv("HWLOC_SYNTHETIC", "node:2 core:1 pu:1", 1) == 0 && ::setenv("HWLOC_THISSYSTEM", "1", 1) == 0;

}  // namespace

// In the library's place.
extern "C" int hwloc_set_area_membind(hwloc_topology_t, const void* data, std::size_t bytes, hwloc_const_bitmap_t set, hwloc_membind_policy_t policy, int flags) {
  Call& call = calls.emplace_back(Call{data, bytes, {}, policy, flags});
  for (int node = hwloc_bitmap_first(set); node >= 0; node = hwloc_bitmap_next(set, node)) call.nodes.push_back(static_cast<unsigned>(node));
  if (policy != HWLOC_MEMBIND_BIND || refusal == 0) return 0;
  errno = refusal;
  return -1;
}

namespace gsnake::memory {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kBytes = (std::size_t{4} << 20) + 4096;

class Nodes : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(is_described);
    if (core::Topology::machine().nodes() != 2) GTEST_SKIP() << "this process may use one processor alone, which is beside one node";
    calls.clear();
    refusal = 0;
  }
  static void expect_usable(const AnonymousMemory& memory) {
    EXPECT_TRUE(std::all_of(memory.data(), memory.data() + kBytes, [](std::byte byte) { return byte == std::byte{0}; }));
    memory.data()[kBytes - 1] = std::byte{1};
  }
};

TEST_F(Nodes, MemoryIsSpreadOverAllUnlessOneIsNamed) {
  const AnonymousMemory memory(kBytes, {.resident = true, .tier = "host"});
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].policy, HWLOC_MEMBIND_INTERLEAVE);
  EXPECT_THAT(calls[0].nodes, ElementsAre(0, 1));
  expect_usable(memory);
}

TEST_F(Nodes, MemoryIsBoundToTheNodeThatIsNamedAndToNoOther) {
  const test::Logged logged;
  const AnonymousMemory memory(kBytes, {.resident = true, .tier = "host", .node = 1});
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].policy, HWLOC_MEMBIND_BIND);
  EXPECT_THAT(calls[0].nodes, ElementsAre(1));
  EXPECT_EQ(calls[0].data, memory.data());
  EXPECT_GE(calls[0].bytes, kBytes);
  EXPECT_EQ(calls[0].flags, HWLOC_MEMBIND_BYNODESET) << "strict: a node that runs full would end the process";
  EXPECT_THAT(logged.text(), IsEmpty());
  expect_usable(memory);
}

TEST_F(Nodes, MemoryIsSpreadWithALineWhereTheKernelRefuses) {
  const test::Logged logged;
  refusal = EPERM;
  const AnonymousMemory memory(kBytes, {.resident = true, .tier = "host", .node = 1});
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1].policy, HWLOC_MEMBIND_INTERLEAVE);
  EXPECT_THAT(calls[1].nodes, ElementsAre(0, 1));
  EXPECT_THAT(logged.text(), HasSubstr("not kept on memory node 1: Operation not permitted"));
  expect_usable(memory);
}

TEST_F(Nodes, ANodeWithLessFreeThanIsWantedIsToldBefore) {
  const std::uint64_t free = core::free_node_bytes(0);
  if (free == 0) GTEST_SKIP() << "this kernel does not say what node 0 has free";
  EXPECT_FALSE(fits_on_node(std::size_t{1} << 60, 0));
  EXPECT_TRUE(fits_on_node(4096, 0));
  EXPECT_TRUE(fits_on_node(std::size_t{1} << 60, 4711)) << "what is not known refuses nothing";
}

}  // namespace
}  // namespace gsnake::memory
