// Streams of the fake runtime: a thread each, which runs its queue in order, late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fake/control.h"
#include "fake/hidden_sync.h"

namespace gsnake::fake_cuda {

// One recording of an event. Shared by the event, the stream that passes it and those that wait for it.
struct Point {
  HiddenGate passed;
  double when_ms = 0.0;
  int users = 1;
};
void share(Point* point);
void drop(Point* point);

struct Range {
  char* place = nullptr;
  std::size_t bytes = 0;
};

struct Task {
  enum class Kind : std::uint8_t { copy, set, run, record, wait, stop };
  Kind kind;
  Range destination = {};
  Range source = {};
  int value = 0;
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
  Point* point = nullptr;
  Task* next = nullptr;
};

// Everything but the thread's own loop under the runtime's lock.
class Stream {
 public:
  // Blocking streams and the legacy one keep their order among each other.
  Stream(HiddenLock& lock, std::uint64_t index, bool blocking, bool legacy);
  void push(Task* task);
  // A point behind all that was pushed. The caller's to drop.
  Point* mark();
  [[nodiscard]] bool uses(const void* place, std::size_t bytes) const;
  [[nodiscard]] bool idle() const { return pushed_ == finished_; }

  const bool blocking;
  const bool legacy;
  bool gone = false;

 private:
  static void* loop(void* self);
  Task* next();
  void wait_a_little(const Task& task);

  HiddenLock& lock_;
  const std::uint64_t index_;
  std::uint64_t random_ = 0;
  std::uint64_t seeded_ = 0;
  unsigned lag_ = 1;
  int bell_ = 0;
  Task* first_ = nullptr;  // the one that runs, or is to run next
  Task* last_ = nullptr;
  std::int64_t pushed_ = 0;
  std::int64_t finished_ = 0;
};

// Of all streams, those that are made later included.
FakeCudaDelays& delays();

}  // namespace gsnake::fake_cuda
