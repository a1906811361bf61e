// compute, h2d, d2h and collective: a stream of the device each, fed in emission order by a thread of its own.
#pragma once

#include <array>
#include <memory>
#include <thread>

#include "core/topology.h"
#include "runtime/device_work.h"
#include "runtime/event_ring.h"
#include "runtime/lane.h"

namespace gsnake::runtime {

// Of the lanes that are there.
using EventRings = std::array<std::unique_ptr<EventRing>, schedule::kLaneCount>;

class DeviceLane final : public LaneRunner {
 public:
  static constexpr std::size_t kMostInDevice = 64;  // tasks submitted ahead of the device; places of a ring and of the work

  struct Options {
    Lane lane = Lane::compute;
    double emulated_rate = 0.0;  // bytes/s; FLOP/s for compute; 0: not capped
    core::Cpus cpus;             // that its thread, and with it what the device computes on the CPU, keeps to; empty: any
  };
  // The rings, its own among them, are borrowed.
  DeviceLane(const Options& options, device::Device& device, const EventRings& rings, std::unique_ptr<DeviceWork> work, TaskSink& sink);
  ~DeviceLane() override { stop(); }

  void started(Flight& flight) override;
  void ready(Flight& flight, TaskId task) override;
  void stop() noexcept override;
  [[nodiscard]] std::optional<InHand> oldest() override;

 private:
  struct Submitted {
    Flight* flight = nullptr;
    TaskId task = -1;
    std::int64_t due_ns = 0;
    InHand in_hand;  // for whoever asks: the flight may be another graph's as soon as the task is over
  };

  void feed();
  void watch();
  Flight* next_flight();
  bool wait_until_ready(Flight& flight, TaskId task);
  void wait_for_room(std::int64_t number);
  void wait_for_half_a_task() noexcept;
  bool submit(Flight& flight, TaskId task);
  bool launch(const Submitted& submitted, std::int64_t number);
  void hand_over(const Submitted& submitted, std::int64_t number);
  void order_after_other_lanes(const Flight& flight, TaskId task);
  void finish(const Submitted& submitted, std::int64_t number);

  const Options options_;
  device::Stream& stream_;
  const EventRings& rings_;
  EventRing& events_;
  const std::unique_ptr<device::Event> last_;  // of what a task that failed gave to the device
  const std::unique_ptr<DeviceWork> work_;
  TaskSink& sink_;
  Throttle throttle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable watched_;
  Flight* flights_[2] = {nullptr, nullptr};
  std::int64_t started_ = 0;  // flights
  std::int64_t fed_ = 0;
  std::int64_t numbered_ = 0;  // tasks of the flights that were started
  std::int64_t given_ = 0;     // tasks that the device has taken; those that the ring does not count as passed are in it
  std::vector<Submitted> in_device_;    // by number, a ring
  std::optional<Submitted> launching_;  // given to the device right now; a device that works inline takes its time
  bool stopping_ = false;
  bool fed_all_ = false;  // the feeder has ended
  std::thread feeder_;
  std::thread watcher_;
};

}  // namespace gsnake::runtime
