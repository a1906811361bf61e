#include "runtime/event_ring.h"

namespace gsnake::runtime {

EventRing::EventRing(std::size_t places, device::Device& device) {
  for (std::size_t i = 0; i < places; ++i) events_.push_back(device.make_event());
}

void EventRing::pass(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  if (number >= passed()) passed_.store(number + 1, std::memory_order_release);  // never back: others may have passed since
}

void EventRing::order(std::int64_t number, device::Stream& follower) {
  if (number < passed()) return;
  const std::lock_guard lock(mutex_);
  if (number >= passed()) follower.wait(event(number));
}

}  // namespace gsnake::runtime
