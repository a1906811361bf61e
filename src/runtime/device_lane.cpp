#include "runtime/device_lane.h"

#include <algorithm>

#include "core/threads.h"

namespace gsnake::runtime {
namespace {

device::StreamKind stream_kind(Lane lane) {
  switch (lane) {
    case Lane::h2d: return device::StreamKind::h2d;
    case Lane::d2h: return device::StreamKind::d2h;
    case Lane::collective: return device::StreamKind::collective;
    default: return device::StreamKind::compute;
  }
}

}  // namespace

DeviceLane::DeviceLane(const Options& options, device::Device& device, const EventRings& rings, std::unique_ptr<DeviceWork> work, TaskSink& sink)
    : options_(options), stream_(device.stream(stream_kind(options.lane))), rings_(rings), events_(*rings[static_cast<std::size_t>(options.lane)]),
      last_(device.make_event()), work_(std::move(work)), sink_(sink), throttle_(options.emulated_rate), in_device_(kMostInDevice) {
  feeder_ = std::thread([this] { feed(); });
  try {
    watcher_ = std::thread([this] { watch(); });
  } catch (...) {
    stop();
    throw;
  }
}

void DeviceLane::started(Flight& flight) {
  const std::lock_guard lock(mutex_);
  flight.first_number[static_cast<std::size_t>(options_.lane)] = numbered_;
  numbered_ += static_cast<std::int64_t>(flight.prepared->lane_tasks[static_cast<std::size_t>(options_.lane)].size());
  flights_[flight.sequence % 2] = &flight;
  started_ = flight.sequence + 1;
  changed_.notify_all();
}

void DeviceLane::ready(Flight&, TaskId) {
  const std::lock_guard lock(mutex_);  // so that the feeder is either before its check or asleep
  changed_.notify_all();
}

void DeviceLane::stop() noexcept {
  bool in_hand = false;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    in_hand = numbered_ > events_.passed();  // given to the device, or what other ranks wait for to be given
    changed_.notify_all();
  }
  if (in_hand) work_->give_up();
  if (feeder_.joinable()) feeder_.join();
  {
    const std::lock_guard lock(mutex_);
    fed_all_ = true;
    watched_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
}

Flight* DeviceLane::next_flight() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || started_ > fed_; });
  return stopping_ ? nullptr : flights_[fed_ % 2];
}

bool DeviceLane::wait_until_ready(Flight& flight, TaskId task) {
  const auto open = [&] { return flight.waiting[static_cast<std::size_t>(task)].load(std::memory_order_acquire) != 0; };
  if (!open()) return true;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || !open(); });
  return !stopping_;
}

// The watcher makes room until the feeder has ended.
void DeviceLane::wait_for_room(std::int64_t number) {
  if (events_.has_room(number)) return;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return events_.has_room(number); });
}

void DeviceLane::feed() {
  core::set_thread_name(std::string("gs-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  core::keep_to(options_.cpus);
  try {
    while (Flight* flight = next_flight()) {
      for (TaskId task : flight->prepared->lane_tasks[static_cast<std::size_t>(options_.lane)]) {
        if (!wait_until_ready(*flight, task) || sink_.poisoned() || !submit(*flight, task)) return;
      }
      ++fed_;
      sink_.passed(*flight);
    }
  } catch (...) {
    sink_.fail(std::current_exception());
    wait_for_half_a_task();
    const std::lock_guard lock(mutex_);
    launching_.reset();
  }
}

// What a task gave to the device before it failed has no number, and nobody else waits for it.
void DeviceLane::wait_for_half_a_task() noexcept {
  try {
    stream_.record(*last_);
    last_->wait();
  } catch (...) {  // told already
  }
}

void DeviceLane::order_after_other_lanes(const Flight& flight, TaskId id) {
  const auto i = static_cast<std::size_t>(id);
  const PreparedGraph& prepared = *flight.prepared;
  for (std::uint32_t k = prepared.first_device_source[i]; k < prepared.first_device_source[i + 1]; ++k) {
    const TaskId source = prepared.device_sources[k];
    rings_[static_cast<std::size_t>(flight.task(source).lane)]->order(flight.number_of(source), stream_);
  }
}

// False: the lane stops.
bool DeviceLane::submit(Flight& flight, TaskId id) {
  const std::int64_t number = flight.number_of(id);
  wait_for_room(number);
  order_after_other_lanes(flight, id);
  const schedule::Task& task = flight.task(id);
  const std::int64_t begin = now_ns();
  clock_.enter(begin);
  flight.times[static_cast<std::size_t>(id)].begin_ns = begin;
  const bool real = flight.carries_out(id);
  const std::int64_t due = real ? throttle_.occupy(begin, options_.lane == Lane::compute ? task.flops : static_cast<double>(task.bytes)) : begin;
  const Submitted submitted{&flight, id, due, {flight.step, &task, begin, {}}};
  if (real && !launch(submitted, number)) return false;
  events_.record(number, stream_);
  sink_.submitted(flight, id);
  hand_over(submitted, number);
  return true;
}

// Whoever stops the lane either sees that a task is in hand, or none begins.
bool DeviceLane::launch(const Submitted& submitted, std::int64_t number) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    launching_ = submitted;
  }
  const Flight& flight = *submitted.flight;
  work_->submit(flight, flight.task(submitted.task), static_cast<std::size_t>(number) % kMostInDevice, stream_);
  return true;
}

// To the watcher, unless the task and all before it are over already.
void DeviceLane::hand_over(const Submitted& submitted, std::int64_t number) {
  {
    const std::lock_guard lock(mutex_);
    launching_.reset();
    in_device_[static_cast<std::size_t>(number) % kMostInDevice] = submitted;
    given_ = number + 1;
    if (events_.passed() < number || !events_.reached(number)) {
      watched_.notify_all();
      return;
    }
    events_.pass(number);
  }
  finish(submitted, number);
}

std::optional<InHand> DeviceLane::oldest() {
  const std::lock_guard lock(mutex_);
  const std::int64_t number = events_.passed();
  if (given_ > number) return in_device_[static_cast<std::size_t>(number) % kMostInDevice].in_hand;
  return launching_ ? std::optional(launching_->in_hand) : std::nullopt;
}

// Waits for everything that the device was given, also after a failure: until then its memory is in use.
void DeviceLane::watch() {
  core::set_thread_name(std::string("gs-w-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (true) {
    watched_.wait(lock, [&] { return fed_all_ || given_ > events_.passed(); });
    const std::int64_t number = events_.passed();
    if (given_ == number) return;
    const Submitted oldest = in_device_[static_cast<std::size_t>(number) % kMostInDevice];
    lock.unlock();
    try {
      events_.wait(number);
      if (!sink_.poisoned()) finish(oldest, number);
    } catch (...) {
      sink_.fail(std::current_exception());
    }
    events_.pass(number);  // if finish() was not come to
    lock.lock();
    changed_.notify_all();
  }
}

// Passed first: whoever hears that the last task is over finds none in hand.
void DeviceLane::finish(const Submitted& submitted, std::int64_t number) {
  if (submitted.due_ns > now_ns()) {
    std::this_thread::sleep_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(submitted.due_ns)));
  }
  Flight& flight = *submitted.flight;
  const std::int64_t end = now_ns();
  flight.times[static_cast<std::size_t>(submitted.task)].end_ns = end;
  clock_.leave(submitted.in_hand.begin_ns, end, flight.carries_out(submitted.task) ? flight.task(submitted.task).bytes : 0);
  events_.pass(number);
  sink_.completed(flight, submitted.task);
}

}  // namespace gsnake::runtime
