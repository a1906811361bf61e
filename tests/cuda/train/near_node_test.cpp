// Where the threads of a run are kept, on a machine that is described as one of two nodes with the GPU at the second.
#include <gmock/gmock.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "cuda/device/cuda_device.h"
#include "cuda/torch/support.h"
#include "temporary_folder.h"
#include "train/cuda_run.h"
#include "train/session.h"

namespace gsnake::test {
namespace {

// The processors that the threads whose names begin so may run on: "0-3,8".
std::set<std::string> processors_of(const std::string& name) {
  std::set<std::string> found;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    std::ifstream(task.path() / "comm") >> comm;
    if (!comm.starts_with(name)) continue;
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Cpus_allowed_list:")) found.insert(line.substr(line.find_last_of("\t ") + 1));
    }
  }
  return found;
}

class NearNode : public testing::Test {
 protected:
  void SetUp() override {
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    if (!CPU_ISSET(0, &allowed) || !CPU_ISSET(1, &allowed)) GTEST_SKIP() << "this process may not use processors 0 and 1";
    root_.write("/sys/bus/pci/devices/0000:01:00.0/numa_node", "1\n");
  }
  TrainerOptions near() {
    return on_fake_gpu(0, [this](std::unique_ptr<device::Device>) {
      return cuda::make_cuda_device({.with_current = cuda::with_current_stream, .machine = &machine_, .root = root_.path()});
    });
  }
  const TemporaryFolder root_;
  const core::Topology machine_{"node:2 core:1 pu:1"};
};

TEST_F(NearNode, ThreadsOfLanesAndOfTheStoreAreKeptToItAndNoOthers) {
  const TempFolder folder;
  const Config config = cuda_config(kRunSettings[1], small_llama(), Dtype::fp32, folder);
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  Trainer trainer(models::make(config.model), config, near());
  trainer.step(random_batches(1, kRunMicroBatches, config.model.vocab)[0]);  // every thread has its name by then
  for (const char* name : {"gs-compute", "gs-w-compute", "gs-h2d", "gs-d2h", "gs-ssd_read", "gs-ssd_write", "gs-optim-"}) {
    EXPECT_EQ(processors_of(name), std::set<std::string>{"1"}) << name;
  }
  const bool uring = trainer.report().io_engine == "io_uring";
  EXPECT_EQ(processors_of(uring ? "gsnake-uring" : "gsnake-io-"), std::set<std::string>{"1"});
  EXPECT_EQ(trainer.report().optimizer_threads, 1) << "half of the node's processors, at least one";
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after)) << "the caller's thread is where it was";
}

TEST_F(NearNode, ThreadsThatHaveCoresOfTheirOwnStayOnThem) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[1], small_llama(), Dtype::fp32, folder);
  config.train.pin_threads = ThreadPinning::apart;
  const auto split = train::cores_apart(config);
  if (!split) GTEST_SKIP() << "too few cores to keep anything apart";
  Trainer trainer(models::make(config.model), config, near());
  trainer.step(random_batches(1, kRunMicroBatches, config.model.vocab)[0]);
  EXPECT_EQ(processors_of("gs-h2d"), std::set<std::string>{"1"});
  EXPECT_EQ(processors_of("gs-optim-").size(), split->optimizer.size());
  EXPECT_EQ(trainer.report().optimizer_threads, static_cast<int>(split->optimizer.size()));
  EXPECT_NE(processors_of("gs-compute"), processors_of("gs-optim-"));
}

}  // namespace
}  // namespace gsnake::test
