#include "fake/streams.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace gsnake::fake_cuda {
namespace {

// SplitMix64's finalizer.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

double now_ms() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

unsigned number(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

bool overlap(const Range& range, const void* place, std::size_t bytes) {
  const auto* p = static_cast<const char*>(place);
  return range.bytes > 0 && range.place < p + bytes && p < range.place + range.bytes;
}

void carry_out(Task& task) {
  happens_after(&task);  // what its caller did before the call
  switch (task.kind) {
    case Task::Kind::copy: std::memmove(task.destination.place, task.source.place, task.destination.bytes); break;
    case Task::Kind::set: std::memset(task.destination.place, task.value, task.destination.bytes); break;
    case Task::Kind::run: task.function(task.argument); break;
    case Task::Kind::record:
      task.point->when_ms = now_ms();
      happened_before(task.point);
      task.point->passed.open();
      break;
    case Task::Kind::wait:
      task.point->passed.pass();
      happens_after(task.point);
      break;
    case Task::Kind::stop: break;
  }
}

}  // namespace

FakeCudaDelays& delays() {
  static FakeCudaDelays all{number("FAKE_CUDA_SEED", 1), number("FAKE_CUDA_DELAY_ONE_IN", 8), number("FAKE_CUDA_DELAY_US", 200), number("FAKE_CUDA_LAG", 1)};
  return all;
}

void share(Point* point) { __atomic_add_fetch(&point->users, 1, __ATOMIC_RELAXED); }

void drop(Point* point) {
  if (point != nullptr && __atomic_sub_fetch(&point->users, 1, __ATOMIC_ACQ_REL) == 0) delete point;
}

Stream::Stream(HiddenLock& lock, std::uint64_t index, bool is_blocking, bool is_legacy) : blocking(is_blocking), legacy(is_legacy), lock_(lock), index_(index) {
  pthread_t thread{};
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  if (pthread_create(&thread, &detached, loop, this) != 0) std::abort();
  pthread_attr_destroy(&detached);
}

void Stream::push(Task* task) {
  happened_before(task);
  ++pushed_;
  (last_ == nullptr ? first_ : last_->next) = task;
  last_ = task;
  __atomic_fetch_add(&bell_, 1, __ATOMIC_RELEASE);
  futex(&bell_, FUTEX_WAKE, 1);
}

Point* Stream::mark() {
  auto* task = new Task{Task::Kind::record};
  task->point = new Point;
  share(task->point);
  Point* point = task->point;
  push(task);
  return point;
}

bool Stream::uses(const void* place, std::size_t bytes) const {
  for (const Task* task = first_; task != nullptr; task = task->next) {
    if (overlap(task->destination, place, bytes) || overlap(task->source, place, bytes)) return true;
  }
  return false;
}

Task* Stream::next() {
  while (true) {
    const int seen = __atomic_load_n(&bell_, __ATOMIC_ACQUIRE);
    {
      const std::lock_guard lock(lock_);
      if (first_ != nullptr) return first_;
    }
    futex(&bell_, FUTEX_WAIT, seen);
  }
}

void Stream::wait_a_little(const Task& task) {
  FakeCudaDelays now{};
  {
    const std::lock_guard lock(lock_);
    now = delays();
  }
  if (now.one_in == 0 || now.longest_us == 0 || task.kind == Task::Kind::record) return;
  if (seeded_ != now.seed + 1) {
    seeded_ = now.seed + 1;
    random_ = mixed(now.seed * 1000003ULL + index_);
    lag_ = mixed(random_) % 2 == 0 ? 1 : now.lag;
  }
  random_ = mixed(random_);
  if (random_ % now.one_in == 0) usleep(static_cast<useconds_t>((random_ >> 32U) % (std::uint64_t{now.longest_us} * lag_)));
}

void* Stream::loop(void* self) {
  auto& stream = *static_cast<Stream*>(self);
  while (true) {
    Task* task = stream.next();
    stream.wait_a_little(*task);
    carry_out(*task);
    const bool last = task->kind == Task::Kind::stop;
    {
      const std::lock_guard lock(stream.lock_);
      stream.first_ = task->next;
      if (stream.first_ == nullptr) stream.last_ = nullptr;
      ++stream.finished_;
    }
    drop(task->point);
    delete task;
    if (last) return nullptr;
  }
}

}  // namespace gsnake::fake_cuda
