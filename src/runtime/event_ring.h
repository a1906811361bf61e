// One device lane's points in its stream, a point a task, as few events as can be waited for at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "device/device.h"

namespace gsnake::runtime {

// Tasks are numbered in the order in which the lane submits them. A task's event is another's once the task has been waited for: from then on
// whoever follows it need not wait.
class EventRing {
 public:
  // places: tasks that can be submitted and not yet waited for.
  EventRing(std::size_t places, device::Device& device);

  // The feeder: the task's event is nobody else's any more.
  [[nodiscard]] bool has_room(std::int64_t number) const { return number - passed() < static_cast<std::int64_t>(events_.size()); }
  void record(std::int64_t number, device::Stream& stream) { stream.record(event(number)); }
  // Of a task that was recorded and has not passed; throws what went wrong on the device.
  [[nodiscard]] bool reached(std::int64_t number) const { return event(number).reached(); }
  void wait(std::int64_t number) const { event(number).wait(); }
  // After that: everything up to this task is over. Any number of times.
  void pass(std::int64_t number);
  // How many tasks are over.
  [[nodiscard]] std::int64_t passed() const { return passed_.load(std::memory_order_acquire); }

  // What `follower` is given from now on comes after the task, which was recorded. Any thread.
  void order(std::int64_t number, device::Stream& follower);

 private:
  [[nodiscard]] device::Event& event(std::int64_t number) const { return *events_[static_cast<std::size_t>(number) % events_.size()]; }

  std::vector<std::unique_ptr<device::Event>> events_;
  std::mutex mutex_;  // held while a stream is given an event, so that it is not recorded again meanwhile
  std::atomic<std::int64_t> passed_{0};
};

}  // namespace gsnake::runtime
