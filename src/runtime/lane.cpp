#include "runtime/lane.h"

#include <algorithm>
#include <tuple>

namespace gsnake::runtime {
namespace {

bool less_urgent(const ReadyQueue::Entry& a, const ReadyQueue::Entry& b) {
  return std::tie(a.sequence, a.priority, a.task) > std::tie(b.sequence, b.priority, b.task);
}

}  // namespace

void LaneClock::enter(std::int64_t now) {
  const std::lock_guard lock(mutex_);
  if (active_++ == 0) since_ns_ = now;
}

void LaneClock::leave(std::int64_t began, std::int64_t now, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
  longest_ns_ = std::max(longest_ns_, now - began);
  if (--active_ == 0) busy_ns_ += now - since_ns_;
}

std::int64_t LaneClock::busy_ns() const {
  const std::lock_guard lock(mutex_);
  return busy_ns_ + (active_ > 0 ? now_ns() - since_ns_ : 0);
}

std::int64_t LaneClock::longest_ns() const {
  const std::lock_guard lock(mutex_);
  return longest_ns_;
}

std::uint64_t LaneClock::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::int64_t Throttle::occupy(std::int64_t begin_ns, double amount) {
  if (per_second_ <= 0.0) return begin_ns;
  free_ns_ = std::max(free_ns_, begin_ns) + static_cast<std::int64_t>(amount / per_second_ * 1e9);
  return free_ns_;
}

void ReadyQueue::push(Flight& flight, TaskId task) {
  heap_.push_back({&flight, flight.sequence, flight.task(task).priority, task});
  std::push_heap(heap_.begin(), heap_.end(), less_urgent);
}

ReadyQueue::Entry ReadyQueue::pop() {
  std::pop_heap(heap_.begin(), heap_.end(), less_urgent);
  const Entry entry = heap_.back();
  heap_.pop_back();
  return entry;
}

}  // namespace gsnake::runtime
