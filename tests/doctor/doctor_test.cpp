// What is found out of machines that are made up, and of this one where a limit can be set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "doctor/checks.h"
#include "doctor/examine.h"
#include "temporary_folder.h"

namespace gsnake::doctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

class Doctor : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const { folder_.write(path, text); }
  // What is in the folder, itself apart.
  [[nodiscard]] std::ptrdiff_t entries() const {
    return std::distance(std::filesystem::recursive_directory_iterator(root_), std::filesystem::recursive_directory_iterator());
  }

  const test::TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

TEST_F(Doctor, TextIsAlignedAndCounted) {
  const Findings findings{{"memory", Status::ok, "23.00 GiB"}, {"io", Status::lack, "none", "allow it"}, {"numa", Status::ok, "one"}};
  EXPECT_EQ(to_text(findings),
            "ok      memory  23.00 GiB\n"
            "lack    io      none\n"
            "                -> allow it\n"
            "ok      numa    one\n"
            "2 ok, 1 lack\n");
}

TEST_F(Doctor, JsonHasRemedyAndDetailWhereThereAreSome) {
  const auto json = to_json({{"a", Status::warn, "seen", "do", {{"bytes", 7}}}, {"b", Status::unknown, "?"}});
  EXPECT_EQ(json.dump(), R"({"findings":[{"id":"a","status":"warn","seen":"seen","remedy":"do","detail":{"bytes":7}},{"id":"b","status":"unknown","seen":"?"}]})");
}

TEST_F(Doctor, MemoryIsWhatTheKernelSaysIsAvailable) {
  write("/proc/meminfo", "MemTotal:       8388608 kB\nMemFree:          1024 kB\nMemAvailable:    4194304 kB\n");
  EXPECT_EQ(examine_memory(root_).seen, "4.00 GiB available of 8.00 GiB");
  EXPECT_EQ(examine_memory("/nonexistent").status, Status::unknown);
}

TEST_F(Doctor, AMemoryLimitBelowTheMachinesIsWarnedOf) {
  write("/proc/meminfo", "MemTotal:       8388608 kB\n");
  core::CgroupLimits limits;
  EXPECT_EQ(examine_memory_limit(limits, root_).status, Status::ok);
  limits.memory_bytes = 2 * kGiB;
  limits.memory_used_bytes = kGiB;
  limits.memory_file = "/sys/fs/cgroup/memory.max";
  EXPECT_EQ(examine_memory_limit(limits, root_).seen, "a cgroup allows 2.00 GiB, of which 1.00 GiB are used (/sys/fs/cgroup/memory.max)");
  EXPECT_EQ(examine_memory_limit(limits, root_).status, Status::warn);
  limits.memory_bytes = 8 * kGiB;
  EXPECT_EQ(examine_memory_limit(limits, root_).status, Status::ok);
}

TEST_F(Doctor, AProcessorLimitIsWarnedOfWhereThreadsExceedIt) {
  core::CgroupLimits limits;
  EXPECT_EQ(examine_cpu_limit(limits, 8).status, Status::ok);
  limits.processors = 2.5;
  EXPECT_EQ(examine_cpu_limit(limits, 8).status, Status::warn);
  EXPECT_THAT(examine_cpu_limit(limits, 8).remedy, HasSubstr("train.compute_threads = 2,"));
  EXPECT_EQ(examine_cpu_limit(limits, 2).status, Status::ok);
  limits.processors = 0.5;
  EXPECT_THAT(examine_cpu_limit(limits, 8).remedy, HasSubstr("train.compute_threads = 1,"));
}

TEST_F(Doctor, HugePagesThatAreOffAreWarnedOf) {
  const std::string file = "/sys/kernel/mm/transparent_hugepage/enabled";
  EXPECT_EQ(examine_huge_pages(root_).status, Status::warn) << "the kernel has none";
  write(file, "always madvise [never]\n");
  EXPECT_EQ(examine_huge_pages(root_).status, Status::warn);
  EXPECT_EQ(examine_huge_pages(root_).remedy, "echo madvise > " + root_ + file);
  for (const char* enough : {"always [madvise] never\n", "[always] madvise never\n"}) {
    write(file, enough);
    EXPECT_EQ(examine_huge_pages(root_).status, Status::ok) << enough;
  }
}

TEST_F(Doctor, LockedMemoryIsTheLimitUnlessACapabilityLiftsIt) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &before), 0);
  const rlimit small{8 << 20, before.rlim_max};
  if (before.rlim_max < small.rlim_cur) GTEST_SKIP() << "the limit is lower here";
  ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &small), 0);
  write("/proc/self/status", "CapEff:\t0000000000000000\n");
  const Finding limited = examine_locked_memory(root_);
  EXPECT_EQ(limited.status, Status::warn);
  EXPECT_THAT(limited.seen, StartsWith("8.00 MiB for all processes of this user together"));
  write("/proc/self/status", "CapEff:\t0000000000004000\n");
  EXPECT_EQ(examine_locked_memory(root_).status, Status::ok);
  ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &before), 0);
}

TEST_F(Doctor, ThreadsThatAreToldToSpinAreWarnedOf) {
  const auto with = [](const char* policy, const char* spins) {
    policy == nullptr ? ::unsetenv("OMP_WAIT_POLICY") : ::setenv("OMP_WAIT_POLICY", policy, 1);
    spins == nullptr ? ::unsetenv("GOMP_SPINCOUNT") : ::setenv("GOMP_SPINCOUNT", spins, 1);
    return examine_openmp().status;
  };
  EXPECT_EQ(with(nullptr, nullptr), Status::ok);
  EXPECT_EQ(with("PASSIVE", nullptr), Status::ok);
  EXPECT_EQ(with("active", nullptr), Status::warn);
  EXPECT_EQ(with(nullptr, "20000"), Status::warn);
  EXPECT_EQ(with("active", "0"), Status::ok) << "libgomp takes the count where both are set";
  ::setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
  ::unsetenv("GOMP_SPINCOUNT");
}

TEST_F(Doctor, WhatIsSaidOfCudaIsWhatARunIsRefusedWith) {
  device::CudaProbe probe;
  probe.plugin_lack = {"no plug-in", "build one"};
  probe.lack = {"there is no driver; besides, no plug-in", "install one"};
  Findings findings = examine_cuda(probe, core::Topology("node:1 core:2 pu:1"));
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].status, Status::lack);
  EXPECT_EQ(findings[1].seen, "no plug-in");
  EXPECT_EQ(findings[1].remedy, "build one");
  EXPECT_EQ(findings[2].id, "cuda");
  EXPECT_EQ(findings[2].seen, probe.lack.cause);
  EXPECT_EQ(findings[2].remedy, probe.lack.remedy);
}

TEST_F(Doctor, EachGpuHasALine) {
  device::CudaProbe probe;
  probe.plugin = "/lib/libgreedysnake_cuda.so";
  probe.driver_version = 13010;
  probe.runtime_version = 13000;
  probe.devices.resize(2);
  probe.devices[0] = {"GPU A", 9, 0, 80 * kGiB, 70 * kGiB, false, false, "0000:65:00.0", 1};
  probe.devices[1] = {"GPU B", 12, 1, 128 * kGiB, 0, true, true, "0000:01:00.0", -1};
  Findings findings = examine_cuda(probe, core::Topology("node:1 core:2 pu:1"));
  ASSERT_EQ(findings.size(), 5U);
  EXPECT_EQ(findings[0].seen, "NVIDIA, for CUDA 13.1");
  EXPECT_EQ(findings[1].seen, "/lib/libgreedysnake_cuda.so, of CUDA 13.0");
  for (const Finding& finding : findings) EXPECT_EQ(finding.status, Status::ok) << finding.id;
  EXPECT_EQ(findings[2].seen, "memory.device can be \"cuda:0\" or \"cuda:1\"");
  EXPECT_EQ(findings[3].id, "cuda:0");
  EXPECT_EQ(findings[3].seen, "GPU A, compute capability 9.0, 80.00 GiB, 70.00 GiB free; PCI 0000:65:00.0 at memory node 1");
  EXPECT_EQ(findings[4].seen, "GPU B, compute capability 12.1, 128.00 GiB, which is the host's own memory; PCI 0000:01:00.0");
  probe.devices[0].major = 6;
  findings = examine_cuda(probe, core::Topology("node:1 core:2 pu:1"));
  EXPECT_EQ(findings[2].seen, "memory.device can be \"cuda:1\"");
  EXPECT_EQ(findings[3].status, Status::lack);
  EXPECT_THAT(findings[3].seen, HasSubstr("cuda:0 is a GPU A of compute capability 6.0, and LibTorch has code for 7.5 and later"));
}

TEST_F(Doctor, OfSeveralMemoryNodesItSaysWhichServesAGpu) {
  device::CudaProbe probe;
  probe.devices.resize(2);
  probe.devices[0] = {"GPU A", 9, 0, 80 * kGiB, 0, false, false, "0000:65:00.0", 1};
  probe.devices[1] = {"GPU B", 9, 0, 80 * kGiB, 0, false, false, "0000:a5:00.0", -1};
  const Findings findings = examine_cuda(probe, core::Topology("node:2 core:2 pu:1"));
  ASSERT_EQ(findings.size(), 5U);
  EXPECT_THAT(findings[3].seen, HasSubstr("PCI 0000:65:00.0 at memory node 1, where its host memory and threads are kept"));
  EXPECT_EQ(findings[3].detail["host_memory_node"], 1);
  EXPECT_THAT(findings[4].seen, HasSubstr("PCI 0000:a5:00.0; its host memory is spread over all memory nodes: the kernel does not say"));
  EXPECT_EQ(findings[4].detail["host_memory_node"], -1);
}

TEST_F(Doctor, AFolderThatIsNotThereIsJudgedByTheOneThatWouldHoldItAndIsNotMade) {
  const Findings findings = examine_folder(root_ + "/a/b");
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].id, "file_system");
  EXPECT_THAT(findings[0].seen, HasSubstr("(not there yet; looked at " + root_ + ")"));
  EXPECT_EQ(findings[1].id, "direct_io");
  EXPECT_NE(findings[1].status, Status::lack) << findings[1].seen;
  EXPECT_EQ(findings[2].id, "free_space");
  EXPECT_EQ(entries(), 0);
}

TEST_F(Doctor, AFolderThatCannotBeWrittenToIsALack) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  std::filesystem::permissions(root_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const Findings findings = examine_folder(root_);
  std::filesystem::permissions(root_, std::filesystem::perms::owner_all);
  EXPECT_EQ(findings.at(1).status, Status::lack);
  EXPECT_THAT(findings.at(1).seen, HasSubstr(root_));
}

TEST_F(Doctor, AFolderInMemoryIsWarnedOf) {
  struct statfs status {};
  if (::statfs("/dev/shm", &status) != 0 || status.f_type != 0x01021994) GTEST_SKIP() << "no tmpfs at /dev/shm";
  const Findings findings = examine_folder("/dev/shm");
  EXPECT_EQ(findings.at(0).status, Status::warn);
  EXPECT_THAT(findings.at(0).seen, HasSubstr("tmpfs"));
  EXPECT_THAT(findings.at(0).remedy, HasSubstr("on a drive"));
}

TEST_F(Doctor, FoldersOnOneFileSystemAreTold) {
  std::filesystem::create_directory(root_ + "/a");
  const Findings findings = examine_shared_drives({root_ + "/a", "/proc", root_ + "/b"});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_THAT(findings[0].seen, HasSubstr(root_ + "/a and " + root_ + "/b are on one"));
}

TEST_F(Doctor, EverythingThatIsNotWellHasARemedyAndNothingIsLeftBehind) {
  const Findings findings = examine({root_, root_ + "/x"});
  EXPECT_GT(findings.size(), 15U);
  for (const Finding& finding : findings) {
    EXPECT_NE(finding.seen, "") << finding.id;
    EXPECT_NE(finding.status, Status::unknown) << finding.id << ": " << finding.seen;
    EXPECT_EQ(finding.seen.find('\n'), std::string::npos) << finding.seen;
    EXPECT_TRUE(finding.status == Status::ok || !finding.remedy.empty()) << finding.id;
  }
  EXPECT_EQ(entries(), 0);
}

}  // namespace
}  // namespace gsnake::doctor
