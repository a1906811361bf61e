// The CUDA device on the fake runtime: what every device must do, its failures, and what it asks of CUDA.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "cuda/device/cuda_device.h"
#include "device/conformance.h"
#include "fake/control.h"
#include "fake/current_stream.h"
#include "greedysnake/error.h"
#include "temporary_folder.h"

namespace gsnake::device {
namespace {

using test::current_stream;
using test::with_current;

struct Addition {
  std::byte* destination;
  const std::byte* source;
  std::size_t bytes;
};

void add_now(void* argument) {
  const std::unique_ptr<Addition> addition(static_cast<Addition*>(argument));
  fake_cuda_uses(addition->destination, addition->bytes);
  fake_cuda_uses(addition->source, addition->bytes);
  auto* to = static_cast<std::byte*>(fake_cuda_real(addition->destination));
  const auto* from = static_cast<const std::byte*>(fake_cuda_real(addition->source));
  std::transform(to, to + addition->bytes, from, to, [](std::byte a, std::byte b) { return static_cast<std::byte>(std::to_integer<int>(a) + std::to_integer<int>(b)); });
}

void add_as_kernel(std::byte* destination, const std::byte* source, std::size_t bytes) {
  ASSERT_EQ(fake_cuda_launch(current_stream, add_now, new Addition{destination, source, bytes}), cudaSuccess);
}

template <int kSeed, int kLongestDelayUs, int kLag>
std::unique_ptr<Device> make_late() {
  const FakeCudaDelays delays{kSeed, 2, kLongestDelayUs, kLag};
  fake_cuda_set_delays(&delays);
  // Small chunks, so that copies lie across several.
  return cuda::make_cuda_device({.register_chunk_bytes = 8192, .with_current = with_current});
}

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceConformance,
                         testing::Values(Subject{"late", make_late<1, 200, 1>, add_as_kernel}, Subject{"later", make_late<2, 800, 8>, add_as_kernel},
                                         Subject{"without_delay", make_late<3, 0, 1>, add_as_kernel}),
                         [](const auto& subject) { return std::string(subject.param.name); });

class CudaDeviceTest : public testing::Test {
 protected:
  void SetUp() override { reports_before_ = fake_cuda_reports(); }
  void TearDown() override {
    fake_cuda_mend();
    EXPECT_EQ(fake_cuda_reports(), reports_before_) << "misuse of CUDA, see stderr";
  }
  static std::unique_ptr<Device> make() { return make_late<7, 200, 1>(); }
  int reports_before_ = 0;
};

TEST_F(CudaDeviceTest, AllWorkSubmittedIsDoneOrWaitedForWhenItEnds) {
  const std::size_t bytes = 1 << 20;
  auto device = make();
  HostMemory host = device->host_alloc(bytes);
  DeviceMemory slot = device->device_alloc(bytes);
  std::fill_n(host.data().get(), bytes, std::byte{5});
  for (int i = 0; i < 20; ++i) device->stream(StreamKind::h2d).copy(slot.data(), host.data(), bytes);
  const auto event = device->make_event();
  device->stream(StreamKind::h2d).record(*event);
  event->wait();
  slot = {};
  host = {};
  device.reset();
  EXPECT_EQ(fake_cuda_live_bytes(), 0U);
}

TEST_F(CudaDeviceTest, WhatIsAskedForInAStepNeverWaitsForTheDevice) {
  auto device = make();
  const std::size_t bytes = 100'000;
  HostMemory host = device->host_alloc(bytes);
  DeviceMemory slot = device->device_alloc(bytes);
  const auto event = device->make_event();
  const auto waits = [] {
    long calls = 0;
    for (const char* api : {"cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy", "cudaMalloc", "cudaFree", "cudaHostAlloc",
                            "cudaHostRegister", "pageable copy"}) {
      calls += fake_cuda_calls(api);
    }
    return calls;
  };
  const long before = waits();
  device->stream(StreamKind::h2d).copy(slot.data(), host.data(), bytes);
  device->stream(StreamKind::h2d).record(*event);
  device->stream(StreamKind::compute).wait(*event);
  device->stream(StreamKind::compute).compute([&](const ComputeScope& scope) { add_as_kernel(scope.address(slot.data()), scope.address(slot.data()) + 50'000, 50'000); });
  device->stream(StreamKind::compute).fill_zero(slot.data(), 10);
  static_cast<void>(event->reached());
  EXPECT_EQ(waits(), before);
  const auto end = device->make_event();
  device->stream(StreamKind::compute).record(*end);
  end->wait();
}

TEST_F(CudaDeviceTest, MemoryThatCannotBePinnedIsCopiedAllTheSame) {
  auto device = make();
  const std::size_t bytes = 100'000;
  fake_cuda_fail("cudaHostRegister", 2, cudaErrorMemoryAllocation);
  const HostMemory host = device->host_alloc(bytes);
  const HostMemory back = device->host_alloc(bytes);
  const DeviceMemory slot = device->device_alloc(bytes);
  for (std::size_t i = 0; i < bytes; ++i) host.data().get()[i] = static_cast<std::byte>(i * 7);
  const auto event = device->make_event();
  device->stream(StreamKind::h2d).copy(slot.data(), host.data(), bytes);
  device->stream(StreamKind::h2d).record(*event);
  device->stream(StreamKind::d2h).wait(*event);
  device->stream(StreamKind::d2h).copy(back.data(), slot.data(), bytes);
  device->stream(StreamKind::d2h).record(*event);
  event->wait();
  EXPECT_EQ(std::memcmp(host.data().get(), back.data().get(), bytes), 0);
}

TEST_F(CudaDeviceTest, OfOneMemoryWithTheHostSaysSo) {
  EXPECT_FALSE(make()->host_side().one_memory);
  fake_cuda_integrate(1);
  const auto device = make();
  fake_cuda_integrate(0);
  EXPECT_TRUE(device->host_side().one_memory);
}

// A machine of two nodes, the GPU at the second.
class NearGpu : public CudaDeviceTest {
 protected:
  NearGpu() { root_.write("/sys/bus/pci/devices/0000:01:00.0/numa_node", "1\n"); }
  std::unique_ptr<Device> make_near(decltype(cuda::CudaDeviceSettings::with_current) with = with_current) {
    return cuda::make_cuda_device({.register_chunk_bytes = 8192, .with_current = with, .machine = &machine_, .root = root_.path()});
  }
  const test::TemporaryFolder root_;
  const core::Topology machine_{"node:2 core:1 pu:1"};
};

TEST_F(NearGpu, IsTheNodeThatTheKernelSaysItIsAt) {
  const HostSide side = make_near()->host_side();
  EXPECT_EQ(side.near.number, 1);
  EXPECT_EQ(side.near.cpus, core::Cpus{1});
  root_.write("/sys/bus/pci/devices/0000:01:00.0/numa_node", "-1\n");
  EXPECT_EQ(make_near()->host_side().near.number, -1);
  EXPECT_NE(make_near()->host_side().near.reason, "");
}

// This machine need not have that node.
TEST_F(NearGpu, MemoryThatCannotBeKeptThereIsThereAllTheSame) {
  const auto device = make_near();
  const std::size_t bytes = 100'000;
  const HostMemory host = device->host_alloc(bytes);
  const HostMemory back = device->host_alloc(bytes);
  const DeviceMemory slot = device->device_alloc(bytes);
  for (std::size_t i = 0; i < bytes; ++i) host.data().get()[i] = static_cast<std::byte>(i * 5);
  const auto event = device->make_event();
  device->stream(StreamKind::h2d).copy(slot.data(), host.data(), bytes);
  device->stream(StreamKind::h2d).copy(back.data(), slot.data(), bytes);
  device->stream(StreamKind::h2d).record(*event);
  event->wait();
  EXPECT_EQ(std::memcmp(host.data().get(), back.data().get(), bytes), 0);
}

bool began_beside_it = false;

void look_where(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument) {
  cpu_set_t set;
  began_beside_it = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(1, &set);
  with_current(stream, ordinal, run, argument);
}

TEST_F(NearGpu, TheThreadThatLaunchesWorkBeginsThere) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  if (!CPU_ISSET(1, &before)) GTEST_SKIP() << "this process may not use processor 1";
  began_beside_it = false;
  const auto device = make_near(look_where);
  EXPECT_TRUE(began_beside_it);
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after)) << "the thread that made the device is where it was";
}

// Each call of CUDA that a pipeline makes, refused once.
class CudaFailure : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { fake_cuda_mend(); }
};

INSTANTIATE_TEST_SUITE_P(OfEach, CudaFailure,
                         testing::Values("cudaStreamCreateWithFlags", "cudaSetDevice", "cudaEventCreateWithFlags", "cudaMalloc", "cudaMemsetAsync", "cudaMemcpyAsync",
                                         "cudaStreamWaitEvent", "cudaEventRecord", "cudaEventSynchronize"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(CudaFailure, IsAnErrorThatNamesTheCallOnce) {
  const int reports = fake_cuda_reports();
  const bool is_wait = std::string(GetParam()) == "cudaEventSynchronize";
  fake_cuda_fail(GetParam(), 1, cudaErrorLaunchFailure);
  int failures = 0;
  for (int round = 0; round < 2; ++round) {
    // Outside: whoever meets a failure waits for what the device was given before it releases memory.
    std::unique_ptr<Device> device;
    HostMemory host;
    DeviceMemory slot;
    try {
      device = make_late<5, 50, 1>();
      host = device->host_alloc(10'000);
      slot = device->device_alloc(10'000);
      const auto first = device->make_event();
      const auto second = device->make_event();
      device->stream(StreamKind::h2d).copy(slot.data(), host.data(), 10'000);
      device->stream(StreamKind::h2d).record(*first);
      device->stream(StreamKind::compute).wait(*first);
      device->stream(StreamKind::compute).fill_zero(slot.data(), 100);
      device->stream(StreamKind::compute).record(*second);
      second->wait();
    } catch (const Error& error) {
      ++failures;
      EXPECT_EQ(error.kind(), ErrorKind::device);
      const std::string what = error.what();
      EXPECT_NE(what.find("cuda:0"), std::string::npos) << what;
      EXPECT_NE(what.find(is_wait ? "work given to it before" : GetParam()), std::string::npos) << what;
    }
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  EXPECT_EQ(failures, 1) << "the second round must find a device that works";
  EXPECT_EQ(fake_cuda_reports(), reports);
}

// A fault before the event is recorded would be the recording's.
void break_once_recorded(void* argument) {
  while (!*static_cast<const std::atomic<bool>*>(argument)) std::this_thread::yield();
  fake_cuda_break(cudaErrorIllegalAddress);
}

TEST_F(CudaDeviceTest, AKernelsFaultReachesEveryWaitFromThenOn) {
  auto device = make();
  const auto event = device->make_event();
  const auto later = device->make_event();
  std::atomic<bool> recorded{false};
  device->stream(StreamKind::compute).compute([&](const ComputeScope&) { fake_cuda_launch(current_stream, break_once_recorded, &recorded); });
  device->stream(StreamKind::compute).record(*event);
  recorded = true;
  EXPECT_THROW(event->wait(), Error);
  EXPECT_THROW(event->wait(), Error);
  EXPECT_THROW(device->stream(StreamKind::compute).record(*later), Error);
}

}  // namespace
}  // namespace gsnake::device
