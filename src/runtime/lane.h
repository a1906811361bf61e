// A lane runs the tasks of one resource. This is what lanes and the executor ask of one another.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/flight.h"

namespace gsnake::runtime {

inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// How long a lane has had at least one task in hand. Thread-safe.
class LaneClock {
 public:
  void enter(std::int64_t now);
  void leave(std::int64_t began, std::int64_t now, std::uint64_t bytes);
  [[nodiscard]] std::int64_t busy_ns() const;
  [[nodiscard]] std::int64_t longest_ns() const;  // that a task has taken
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  mutable std::mutex mutex_;
  int active_ = 0;
  std::int64_t since_ns_ = 0;
  std::int64_t busy_ns_ = 0;
  std::int64_t longest_ns_ = 0;
  std::uint64_t bytes_ = 0;
};

// Caps a lane at a rate: a task's resource is occupied for amount / rate, one task after another. Used by one thread, or under a lock.
class Throttle {
 public:
  explicit Throttle(double per_second) : per_second_(per_second) {}
  // When a task that begins now may be over, at the earliest.
  std::int64_t occupy(std::int64_t begin_ns, double amount);

 private:
  double per_second_;
  std::int64_t free_ns_ = 0;
};

// A task that a lane has begun and not ended.
struct InHand {
  std::int64_t step = 0;
  const schedule::Task* task = nullptr;
  std::int64_t begin_ns = 0;
  std::string where{};  // the file that it moves bytes from or to, where that is known
};

// What lanes call. Thread-safe; none of it blocks for long.
class TaskSink {
 public:
  // The device has taken the task: what waits for it on another device lane may be submitted behind its event.
  virtual void submitted(Flight& flight, TaskId task) = 0;
  virtual void completed(Flight& flight, TaskId task) = 0;
  virtual void passed(Flight& flight) = 0;  // an in-order lane has no more tasks in this flight
  virtual void fail(std::exception_ptr error) noexcept = 0;
  [[nodiscard]] virtual bool poisoned() const noexcept = 0;

 protected:
  ~TaskSink() = default;
};

class LaneRunner {
 public:
  virtual ~LaneRunner() = default;
  virtual void started(Flight&) {}
  virtual void ready(Flight& flight, TaskId task) = 0;  // all its edges are settled
  // Takes no more tasks; returns when none is in hand and the threads have ended. Also after a failure, and again.
  virtual void stop() noexcept = 0;
  // The task that has been in hand longest; thread-safe.
  [[nodiscard]] virtual std::optional<InHand> oldest() = 0;
  [[nodiscard]] const LaneClock& clock() const { return clock_; }

 protected:
  LaneClock clock_;
};

// Tasks that are ready, most urgent first: earlier graphs, then the position of the compute task that waits for it.
class ReadyQueue {
 public:
  struct Entry {
    Flight* flight = nullptr;
    std::int64_t sequence = 0;
    std::int32_t priority = 0;
    TaskId task = -1;
  };
  explicit ReadyQueue(std::size_t capacity) { heap_.reserve(capacity); }
  void push(Flight& flight, TaskId task);
  Entry pop();
  [[nodiscard]] bool empty() const { return heap_.empty(); }

 private:
  std::vector<Entry> heap_;
};

}  // namespace gsnake::runtime
