// What a lane has in hand is told to whoever asks, at any moment: also when the task has just ended and its flight is another graph's already.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <thread>

#include "device/async_device.h"
#include "runtime/device_lane.h"
#include "runtime/rig.h"
#include "runtime/ssd_lane.h"

namespace gsnake::runtime::test {
namespace {

using schedule::Variant;

// Asks its lane as soon as a task is over, when the executor may have begun another graph in the flight.
class AskingSink final : public TaskSink {
 public:
  void submitted(Flight&, TaskId) override {}
  void completed(Flight& flight, TaskId) override {
    flight.prepared = nullptr;
    flight.step = 99;
    told_.set_value(lane->oldest());
  }
  void passed(Flight&) override {}
  void fail(std::exception_ptr) noexcept override { failed_ = true; }
  [[nodiscard]] bool poisoned() const noexcept override { return failed_; }

  std::optional<InHand> told() { return told_.get_future().get(); }
  LaneRunner* lane = nullptr;

 private:
  std::promise<std::optional<InHand>> told_;
  std::atomic<bool> failed_{false};
};

class InHandTest : public ::testing::Test {
 protected:
  // The first task of `lane` in a step, which is then all that the lane has to do.
  TaskId only_task_of(Lane lane) {
    std::vector<TaskId>& tasks = prepared_.lane_tasks[static_cast<std::size_t>(lane)];
    tasks.resize(1);
    return tasks[0];
  }
  void set_up_flight() {
    flight_.prepared = &prepared_;
    flight_.sequence = 0;
    flight_.step = 7;
    flight_.before = &outcome_;
    for (std::size_t i = 0; i < flight_.physical.size(); ++i) flight_.physical[i] = static_cast<std::int32_t>(i);
  }
  void expect_told(const std::optional<InHand>& told, TaskId task) const {
    if (!told) return;  // the lane has let go of it already
    EXPECT_EQ(told->step, 7);
    EXPECT_EQ(told->task, &graph_.tasks[static_cast<std::size_t>(task)]);
  }

  device::AsyncDevice device_;
  Rig rig_{ssd_setup(), device_};
  const schedule::Graph& graph_ = rig_.program().graph(Variant::train_first);
  PreparedGraph prepared_ = prepare(graph_);
  Flight flight_{graph_.tasks.size(), rig_.program().map.buffers.size()};
  StepOutcome outcome_;
  AskingSink sink_;
};

TEST_F(InHandTest, OfAnSsdLaneIsTheTaskThatWasBegun) {
  const TaskId task = only_task_of(Lane::ssd_read);
  set_up_flight();
  SsdLane lane({Lane::ssd_read, 0.0, 1, 1, false, false}, rig_.program().map, rig_.store(), rig_.executor().slots(), rig_.executor().memory(), sink_);
  sink_.lane = &lane;
  lane.ready(flight_, task);
  expect_told(sink_.told(), task);
}

TEST_F(InHandTest, OfADeviceLaneIsTheTaskThatWasSubmitted) {
  const TaskId task = only_task_of(Lane::h2d);
  set_up_flight();
  EventRings rings;
  rings[static_cast<std::size_t>(Lane::h2d)] = std::make_unique<EventRing>(DeviceLane::kMostInDevice, device_);
  DeviceLane lane({Lane::h2d, 0.0, {}}, device_, rings, make_copies(rig_.executor().memory()), sink_);
  sink_.lane = &lane;
  device_.hold(device::StreamKind::h2d);
  lane.started(flight_);
  while (!lane.oldest()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  device_.resume(device::StreamKind::h2d);
  expect_told(sink_.told(), task);
}

}  // namespace
}  // namespace gsnake::runtime::test
