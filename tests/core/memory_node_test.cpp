// The memory node beside a device, on machines as hwloc and the kernel's files describe them.
#include "core/memory_node.h"

#include <gmock/gmock.h>

#include "core/free_memory.h"
#include "temporary_folder.h"

namespace gsnake::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(MemoryNode, OfADeviceIsAsTheKernelsFileHasIt) {
  const test::TemporaryFolder root;
  root.write("/sys/bus/pci/devices/0000:ab:00.0/numa_node", "1\n");
  root.write("/sys/bus/pci/devices/0000:01:00.0/numa_node", "-1\n");
  EXPECT_EQ(memory_node_of("0000:AB:00.0", root.path()), 1);
  EXPECT_EQ(memory_node_of("0000:01:00.0", root.path()), -1) << "a board that does not tell";
  EXPECT_EQ(memory_node_of("0000:02:00.0", root.path()), -1);
  EXPECT_EQ(memory_node_of("", root.path()), -1);
}

TEST(NearNode, IsTheDevicesOwnOfSeveral) {
  const NearNode near = near_node(Topology("node:2 core:2 pu:2"), 1);
  EXPECT_EQ(near.number, 1);
  EXPECT_THAT(near.cpus, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(near.reason, IsEmpty());
}

TEST(NearNode, IsNoneWhereThereIsNothingToChoose) {
  const NearNode near = near_node(Topology("node:1 core:2 pu:2"), 0);
  EXPECT_EQ(near.number, -1);
  EXPECT_THAT(near.cpus, IsEmpty());
  EXPECT_THAT(near.reason, IsEmpty());
}

TEST(NearNode, SaysWhyItIsNoneOfSeveral) {
  const Topology machine("node:2 core:2 pu:2");
  EXPECT_EQ(near_node(machine, -1).number, -1);
  EXPECT_THAT(near_node(machine, -1).reason, HasSubstr("does not say"));
  EXPECT_EQ(near_node(machine, 5).number, -1);
  EXPECT_THAT(near_node(machine, 5).reason, HasSubstr("node 5, which this process may not use"));
}

TEST(FreeNodeBytes, AreWhatIsFreeAndWhatFilesCanGiveUp) {
  const test::TemporaryFolder root;
  root.write("/sys/devices/system/node/node1/meminfo",
             "Node 1 MemTotal:       65536 kB\nNode 1 MemFree:         1000 kB\nNode 1 Active(anon):    7000 kB\nNode 1 Active(file):      20 kB\nNode 1 Inactive(file):   300 kB\n");
  EXPECT_EQ(free_node_bytes(1, root.path()), 1320U * 1024);
  EXPECT_EQ(free_node_bytes(0, root.path()), 0U) << "it is not known";
}

}  // namespace
}  // namespace gsnake::core
