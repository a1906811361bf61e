#include "runtime/event_ring.h"

#include <gtest/gtest.h>

#include <atomic>

#include "device/async_device.h"

namespace gsnake::runtime {
namespace {

using device::StreamKind;

class EventRingTest : public testing::Test {
 protected:
  // Whether the compute stream runs on while h2d is held, after it was told to follow h2d's task `number`.
  bool runs_on(std::int64_t number) {
    std::atomic<bool> ran{false};
    const auto end = device_.make_event();
    ring_.order(number, compute_);
    compute_.compute([&](const device::ComputeScope&) { ran = true; });
    compute_.record(*end);
    for (int i = 0; i < 200 && !end->reached(); ++i) std::this_thread::sleep_for(std::chrono::microseconds(200));
    const bool early = ran;
    device_.resume(StreamKind::h2d);
    end->wait();
    EXPECT_TRUE(ran);
    return early;
  }
  void submit_and_pass(std::int64_t number) {
    ring_.record(number, h2d_);
    ring_.wait(number);
    ring_.pass(number);
  }

  device::AsyncDevice device_{{.seed = 1, .longest_delay = std::chrono::microseconds(0)}};
  device::Stream& h2d_ = device_.stream(StreamKind::h2d);
  device::Stream& compute_ = device_.stream(StreamKind::compute);
  EventRing ring_{3, device_};
};

TEST_F(EventRingTest, AFollowerWaitsForATaskThatIsNotOver) {
  device_.hold(StreamKind::h2d);
  ring_.record(0, h2d_);
  EXPECT_FALSE(runs_on(0));
}

// The event of task 1 is that of task 4 here, which has not been reached.
TEST_F(EventRingTest, AFollowerOfATaskThatIsOverWaitsForNobody) {
  for (int number = 0; number < 4; ++number) submit_and_pass(number);
  device_.hold(StreamKind::h2d);
  ring_.record(4, h2d_);
  EXPECT_TRUE(runs_on(1));
}

TEST_F(EventRingTest, HasRoomForAsManyAsAreNotOver) {
  for (int number = 0; number < 3; ++number) {
    EXPECT_TRUE(ring_.has_room(number));
    ring_.record(number, h2d_);
  }
  EXPECT_FALSE(ring_.has_room(3));
  ring_.wait(0);
  ring_.pass(0);
  EXPECT_TRUE(ring_.has_room(3));
  EXPECT_FALSE(ring_.has_room(4));
  EXPECT_EQ(ring_.passed(), 1);
}

// Who waited for a task may say so after others have passed later ones.
TEST_F(EventRingTest, NeverGoesBack) {
  for (const int number : {0, 1, 0}) ring_.pass(number);
  EXPECT_EQ(ring_.passed(), 2);
}

}  // namespace
}  // namespace gsnake::runtime
