// Limits of made-up control groups, in the layouts that kernels and containers have.
#include "core/cgroup.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace gsnake::core {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class Cgroup : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const { folder_.write(path, text); }
  void hierarchy(const std::string& own, const std::string& mounts) const {
    write("/proc/self/cgroup", own);
    write("/proc/self/mountinfo", mounts);
  }

  const test::TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

constexpr const char* kVersion2 = "22 27 0:21 / /proc rw - proc proc rw\n31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

TEST_F(Cgroup, WithoutAnyThereIsNoLimit) {
  const CgroupLimits limits = read_cgroup_limits(root_);
  EXPECT_FALSE(limits.memory_bytes);
  EXPECT_FALSE(limits.processors);
}

TEST_F(Cgroup, OfVersion2IsTheTightestOnTheWayUp) {
  hierarchy("0::/batch/job/step\n", kVersion2);
  write("/sys/fs/cgroup/batch/job/step/memory.max", "max\n");
  write("/sys/fs/cgroup/batch/job/step/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/batch/job/memory.max", "2147483648\n");
  write("/sys/fs/cgroup/batch/job/memory.current", "943718400\n");
  write("/sys/fs/cgroup/batch/job/memory.stat", "anon 314572800\nfile 629145600\nshmem 104857600\n");
  write("/sys/fs/cgroup/batch/job/cpu.max", "350000 100000\n");
  write("/sys/fs/cgroup/batch/memory.max", "4294967296\n");
  write("/sys/fs/cgroup/batch/cpu.max", "150000 100000\n");
  const CgroupLimits limits = read_cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 2048 * kMiB);
  EXPECT_EQ(limits.memory_used_bytes, 400 * kMiB) << "the page cache makes room, what is shared in it does not";
  EXPECT_EQ(limits.memory_file, root_ + "/sys/fs/cgroup/batch/job/memory.max");
  EXPECT_EQ(limits.processors, 1.5);
  EXPECT_EQ(limits.processors_file, root_ + "/sys/fs/cgroup/batch/cpu.max");
}

TEST_F(Cgroup, OfVersion1IsRead) {
  hierarchy("5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1073741824\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "209715200\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.stat", "cache 1\ntotal_cache 104857600\ntotal_shmem 0\n");
  write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "50000\n");
  write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const CgroupLimits limits = read_cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 1024 * kMiB);
  EXPECT_EQ(limits.memory_used_bytes, 100 * kMiB);
  EXPECT_EQ(limits.processors, 0.5);
}

TEST_F(Cgroup, ThatSetNoLimitHaveNone) {
  hierarchy("5:memory:/\n0::/\n", std::string(kVersion2) + "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory.max", "max\n");
  const CgroupLimits limits = read_cgroup_limits(root_);
  EXPECT_FALSE(limits.memory_bytes);
  EXPECT_FALSE(limits.processors);
}

// A container that sees its own group alone, whether the kernel tells its path on the host (mounted from there) or not.
TEST_F(Cgroup, OfAContainerIsTheMountsRoot) {
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
  hierarchy("5:memory:/docker/abc\n", "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  EXPECT_EQ(read_cgroup_limits(root_).memory_bytes, 512 * kMiB);
  hierarchy("5:memory:/docker/abc/below\n", "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  write("/sys/fs/cgroup/memory/below/memory.limit_in_bytes", "268435456\n");
  EXPECT_EQ(read_cgroup_limits(root_).memory_bytes, 256 * kMiB);
  hierarchy("5:memory:/elsewhere/on/the/host\n", "35 31 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  EXPECT_EQ(read_cgroup_limits(root_).memory_bytes, 512 * kMiB);
}

}  // namespace
}  // namespace gsnake::core
