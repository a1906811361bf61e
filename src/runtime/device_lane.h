// compute, h2d and d2h: a stream of the device each, fed in emission order by a thread of its own.
#pragma once

#include <deque>
#include <thread>

#include "core/topology.h"
#include "runtime/lane.h"
#include "runtime/places.h"

namespace gsnake::runtime {

class DeviceLane final : public LaneRunner {
 public:
  struct Options {
    Lane lane = Lane::compute;
    double emulated_rate = 0.0;  // bytes/s; FLOP/s for compute; 0: not capped
    core::Cpus cpus;             // that its thread, and with it what the device computes on the CPU, keeps to; empty: any
  };
  DeviceLane(const Options& options, const schedule::Map& map, device::Device& device, const MemoryImage& memory, ComputeBackend& backend, TaskSink& sink);
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

  // What a compute task refers to while the device has it.
  struct Work {
    ComputeBackend* backend = nullptr;
    ComputeCall call;
    std::vector<UsedObject> uses;  // the call's: room for those of any unit
  };

  void feed();
  void watch();
  Flight* next_flight();
  bool wait_until_ready(Flight& flight, TaskId task);
  void submit(Flight& flight, TaskId task);
  void launch(Flight& flight, TaskId task);
  void copy(const Flight& flight, const schedule::Task& task);
  void set_call(Work& work, const Flight& flight, const schedule::Task& task) const;
  void finish(const Submitted& submitted);

  const Options options_;
  const schedule::Problem& problem_;
  device::Stream& stream_;
  const Places places_;
  ComputeBackend& backend_;
  TaskSink& sink_;
  Throttle throttle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable watched_;
  Flight* flights_[2] = {nullptr, nullptr};
  std::int64_t started_ = 0;  // flights
  std::int64_t fed_ = 0;
  std::vector<Submitted> in_device_;  // a ring: submitted, their events not yet reached
  std::vector<Work> works_;  // as many as can be in the device, and one
  std::size_t next_work_ = 0;
  std::size_t ring_begin_ = 0;
  std::size_t ring_size_ = 0;
  std::optional<Submitted> launching_;  // given to the device right now; a device that works inline takes its time
  bool stopping_ = false;
  bool fed_all_ = false;  // the feeder has ended
  std::thread feeder_;
  std::thread watcher_;
};

}  // namespace gsnake::runtime
