// The asynchronous device is worth what it catches: each of these bugs must show.
#include "device/async_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

namespace gsnake::device {
namespace {

constexpr std::size_t kBytes = 5000;

class AsyncDeviceBugs : public testing::Test {
 protected:
  AsyncDeviceBugs() { std::memset(source_.data().get(), 5, kBytes); }
  void finish(StreamKind kind) {
    const auto event = device_.make_event();
    device_.stream(kind).record(*event);
    event->wait();
  }
  // Whether the compute stream finds what h2d copies into a slot meanwhile.
  bool compute_sees_the_copy(bool with_wait) {
    bool seen = false;
    const auto copied = device_.make_event();
    const auto looked = device_.make_event();
    device_.hold(StreamKind::h2d);
    h2d_.copy(slot_.data(), source_.data(), kBytes);
    h2d_.record(*copied);
    if (with_wait) compute_.wait(*copied);
    compute_.compute([&](const ComputeScope& scope) { seen = std::memcmp(scope.address(slot_.data()), source_.data().get(), kBytes) == 0; });
    compute_.record(*looked);
    if (!with_wait) looked->wait();
    device_.resume(StreamKind::h2d);
    looked->wait();
    copied->wait();
    return seen;
  }

  AsyncDevice device_;
  Stream& compute_ = device_.stream(StreamKind::compute);
  Stream& h2d_ = device_.stream(StreamKind::h2d);
  Stream& d2h_ = device_.stream(StreamKind::d2h);
  // A copy of `source_`'s bytes that h2d has made and that nobody else waits for.
  void fill_slot() {
    h2d_.copy(slot_.data(), source_.data(), kBytes);
    finish(StreamKind::h2d);
  }

  HostMemory source_ = device_.host_alloc(kBytes);
  DeviceMemory slot_ = device_.device_alloc(kBytes);
  HostMemory result_ = device_.host_alloc(kBytes);
};

TEST_F(AsyncDeviceBugs, AMissingStreamWaitShowsAsWrongBytes) { EXPECT_FALSE(compute_sees_the_copy(false)); }

TEST_F(AsyncDeviceBugs, TheSameWithItsWaitIsRight) { EXPECT_TRUE(compute_sees_the_copy(true)); }

TEST_F(AsyncDeviceBugs, AMissingHostWaitShowsAsStaleBytes) {
  fill_slot();
  device_.hold(StreamKind::d2h);
  const auto copied = device_.make_event();
  d2h_.copy(result_.data(), slot_.data(), kBytes);
  d2h_.record(*copied);
  EXPECT_FALSE(copied->reached());
  EXPECT_EQ(*result_.data().get(), std::byte{0});
  device_.resume(StreamKind::d2h);
  copied->wait();
  EXPECT_EQ(*result_.data().get(), std::byte{5});
}

TEST_F(AsyncDeviceBugs, ASourceOverwrittenInFlightShowsInTheCopy) {
  device_.hold(StreamKind::h2d);
  h2d_.copy(slot_.data(), source_.data(), kBytes);
  std::memset(source_.data().get(), 6, kBytes);
  device_.resume(StreamKind::h2d);
  h2d_.copy(result_.data(), slot_.data(), kBytes);
  finish(StreamKind::h2d);
  EXPECT_EQ(*result_.data().get(), std::byte{6});
}

TEST_F(AsyncDeviceBugs, ASlotReusedUnderItsReaderShowsAsTheNextContent) {
  device_.hold(StreamKind::compute);
  compute_.copy(result_.data(), slot_.data(), kBytes);
  h2d_.copy(slot_.data(), source_.data(), kBytes);
  finish(StreamKind::h2d);
  device_.resume(StreamKind::compute);
  finish(StreamKind::compute);
  EXPECT_EQ(*result_.data().get(), std::byte{5});
}

TEST_F(AsyncDeviceBugs, MemoryThatIsNotTheDevicesIsRefused) {
  std::byte stack[16] = {};
  EXPECT_THROW(h2d_.copy(slot_.data(), HostPtr(stack), 16), std::logic_error);
  EXPECT_THROW(h2d_.copy(DevicePtr(stack), slot_.data(), 16), std::logic_error);
  EXPECT_THROW(h2d_.copy(slot_.data(), DevicePtr(source_.data().get()), 16), std::logic_error) << "host memory on the wrong tier";
  EXPECT_THROW(h2d_.copy(slot_.data() + 1, source_.data(), kBytes), std::logic_error);
  EXPECT_THROW(h2d_.fill_zero(slot_.data(), kBytes + 1), std::logic_error);
  finish(StreamKind::h2d);
}

using AsyncDeviceDeathTest = AsyncDeviceBugs;

TEST_F(AsyncDeviceDeathTest, ReleasingMemoryInFlightAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        device_.hold(StreamKind::h2d);
        h2d_.copy(slot_.data(), source_.data(), kBytes);
        slot_ = DeviceMemory();
      },
      "memory was released while work on it was in flight");
}

TEST_F(AsyncDeviceDeathTest, DestroyingTheDeviceBeforeItsMemoryAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        HostMemory survivor;
        AsyncDevice device;
        survivor = device.host_alloc(kBytes);
      },
      "destroyed before its memory");
}

using AsyncDeviceFailure = AsyncDeviceBugs;

TEST_F(AsyncDeviceFailure, LeavesComputeOnlyThroughEvents) {
  const auto event = device_.make_event();
  device_.hold(StreamKind::compute);
  compute_.compute([](const ComputeScope&) { throw std::runtime_error("broken"); });
  compute_.record(*event);
  EXPECT_FALSE(event->reached());
  device_.resume(StreamKind::compute);
  EXPECT_THROW(event->wait(), std::runtime_error);
  EXPECT_THROW(static_cast<void>(event->reached()), std::runtime_error);
  EXPECT_THROW(event->wait(), std::runtime_error);
}

TEST_F(AsyncDeviceFailure, KeepsItsFirstCauseAndLeavesLaterWorkOutOnEveryStream) {
  const auto failed = device_.make_event();
  const auto later = device_.make_event();
  compute_.compute([](const ComputeScope&) { throw std::runtime_error("first"); });
  compute_.compute([](const ComputeScope&) { throw std::runtime_error("second"); });
  compute_.record(*failed);
  h2d_.wait(*failed);
  h2d_.copy(slot_.data(), source_.data(), kBytes);
  h2d_.copy(result_.data(), slot_.data(), kBytes);
  h2d_.record(*later);
  try {
    later->wait();
    FAIL() << "the failure was lost";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
  EXPECT_EQ(*result_.data().get(), std::byte{0});
}

TEST_F(AsyncDeviceFailure, DoesNotTouchEventsThatWereNeverRecorded) {
  compute_.compute([](const ComputeScope&) { throw std::runtime_error("broken"); });
  EXPECT_THROW(finish(StreamKind::compute), std::runtime_error);
  EXPECT_TRUE(device_.make_event()->reached());
}

}  // namespace
}  // namespace gsnake::device
