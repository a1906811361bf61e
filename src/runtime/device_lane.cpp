#include "runtime/device_lane.h"

#include <algorithm>

#include "core/threads.h"

namespace gsnake::runtime {
namespace {

constexpr std::size_t kMostInDevice = 64;  // submitted ahead of the device

device::StreamKind stream_kind(Lane lane) {
  switch (lane) {
    case Lane::h2d: return device::StreamKind::h2d;
    case Lane::d2h: return device::StreamKind::d2h;
    case Lane::collective: return device::StreamKind::collective;
    default: return device::StreamKind::compute;
  }
}

std::size_t most_uses(const schedule::Problem& problem) {
  std::size_t most = 0;
  for (const schedule::Unit& unit : problem.units) most = std::max(most, unit.objects.size());
  return most;
}

}  // namespace

DeviceLane::DeviceLane(const Options& options, const schedule::Map& map, device::Device& device, const MemoryImage& memory, ComputeBackend& backend,
                       TaskSink& sink)
    : options_(options), problem_(map.problem), stream_(device.stream(stream_kind(options.lane))), places_(memory), backend_(backend), sink_(sink),
      throttle_(options.emulated_rate), in_device_(kMostInDevice), works_(kMostInDevice + 1) {
  for (Work& work : works_) work.uses.resize(most_uses(problem_));
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
  flights_[flight.sequence % 2] = &flight;
  started_ = flight.sequence + 1;
  changed_.notify_all();
}

void DeviceLane::ready(Flight&, TaskId) {
  const std::lock_guard lock(mutex_);  // so that the feeder is either before its check or asleep
  changed_.notify_all();
}

void DeviceLane::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
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

void DeviceLane::feed() {
  core::set_thread_name(std::string("gs-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  core::keep_to(options_.cpus);
  try {
    while (Flight* flight = next_flight()) {
      for (TaskId task : flight->prepared->lane_tasks[static_cast<std::size_t>(options_.lane)]) {
        if (!wait_until_ready(*flight, task) || sink_.poisoned()) return;
        submit(*flight, task);
      }
      ++fed_;
      sink_.passed(*flight);
    }
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

void DeviceLane::set_call(Work& work, const Flight& flight, const schedule::Task& task) const {
  using schedule::Role;
  const std::vector<int>& objects = problem_.uses(task.unit);
  for (std::size_t i = 0; i < objects.size(); ++i) work.uses[i] = {objects[i]};
  ComputeCall& call = work.call = {};
  call.op = task.op;
  call.unit = task.unit;
  call.micro_batch = task.micro_batch;
  call.step = flight.batch->step;
  call.training = flight.batch->training;
  call.loss_factor = flight.batch->loss_factor;
  call.opens = task.opens;
  call.uses = {work.uses.data(), objects.size()};
  for (const schedule::Access& access : flight.graph().accesses(task)) {
    UsedObject& used = work.uses[access.use];
    switch (access.role) {
      case Role::weights:
        used.weights = places_.on_device(flight, access);
        break;
      case Role::gradients:
        used.gradients = places_.on_device(flight, access);
        used.first = access.mode == schedule::Mode::write;
        break;
      case Role::ids:
        call.ids = places_.on_device(flight, access);
        break;
      case Role::input:
        call.input = places_.on_device(flight, access);
        break;
      case Role::output_gradient:
        call.output_gradient = places_.on_device(flight, access);
        break;
      case Role::output:
        call.output = places_.on_device(flight, access);
        break;
      case Role::losses:
        call.loss = places_.on_device(flight, access);
        break;
      default:
        break;
    }
  }
  if (task.op == schedule::Op::head) call.loss_scale = static_cast<float>(counters_of(flight).loss_scale);
}

// h2d also carries what goes from one place on the device to another.
void DeviceLane::copy(const Flight& flight, const schedule::Task& task) {
  const schedule::Access& source = *flight.graph().find(task, schedule::Role::source);
  const schedule::Access& destination = *flight.graph().find(task, schedule::Role::destination);
  if (options_.lane == Lane::d2h) {
    stream_.copy(places_.host(flight, destination), places_.on_device(flight, source), task.bytes);
  } else if (places_.is_host(source)) {
    stream_.copy(places_.on_device(flight, destination), places_.host(flight, source), task.bytes);
  } else {
    stream_.copy(places_.on_device(flight, destination), places_.on_device(flight, source), task.bytes);
  }
}

void DeviceLane::launch(Flight& flight, TaskId id) {
  const schedule::Task& task = flight.task(id);
  if (task.op == schedule::Op::copy) return copy(flight, task);
  Work& work = works_[next_work_++ % works_.size()];
  work.backend = &backend_;
  set_call(work, flight, task);
  stream_.compute([&work](const device::ComputeScope& scope) { work.backend->run(scope, work.call); });
}

void DeviceLane::submit(Flight& flight, TaskId id) {
  const schedule::Task& task = flight.task(id);
  const auto i = static_cast<std::size_t>(id);
  const PreparedGraph& prepared = *flight.prepared;
  for (std::uint32_t k = prepared.first_device_source[i]; k < prepared.first_device_source[i + 1]; ++k) {
    stream_.wait(*flight.events[static_cast<std::size_t>(prepared.device_sources[k])]);
  }
  const std::int64_t begin = now_ns();
  clock_.enter(begin);
  flight.times[i].begin_ns = begin;
  const bool real = flight.carries_out(id);
  const std::int64_t due = real ? throttle_.occupy(begin, options_.lane == Lane::compute ? task.flops : static_cast<double>(task.bytes)) : begin;
  const Submitted submitted{&flight, id, due, {flight.step, &task, begin, {}}};
  if (real) {
    {
      const std::lock_guard lock(mutex_);
      launching_ = submitted;
    }
    launch(flight, id);
  }
  stream_.record(*flight.events[i]);
  sink_.submitted(flight, id);
  std::unique_lock lock(mutex_);
  launching_.reset();
  // In order: nothing completes before what was submitted earlier.
  if (ring_size_ == 0 && flight.events[i]->reached()) {
    lock.unlock();
    finish(submitted);
    return;
  }
  changed_.wait(lock, [&] { return ring_size_ < kMostInDevice; });  // the watcher makes room until the feeder has ended
  in_device_[(ring_begin_ + ring_size_++) % kMostInDevice] = submitted;
  watched_.notify_all();
}

std::optional<InHand> DeviceLane::oldest() {
  const std::lock_guard lock(mutex_);
  if (ring_size_ == 0 && !launching_) return std::nullopt;
  return (ring_size_ > 0 ? in_device_[ring_begin_] : *launching_).in_hand;
}

// Waits for everything that the device was given, also after a failure: until then its memory is in use.
void DeviceLane::watch() {
  core::set_thread_name(std::string("gs-w-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (true) {
    watched_.wait(lock, [&] { return fed_all_ || ring_size_ > 0; });
    if (ring_size_ == 0) return;
    const Submitted oldest = in_device_[ring_begin_];
    lock.unlock();
    try {
      oldest.flight->events[static_cast<std::size_t>(oldest.task)]->wait();
      if (!sink_.poisoned()) finish(oldest);
    } catch (...) {
      sink_.fail(std::current_exception());
    }
    lock.lock();
    ring_begin_ = (ring_begin_ + 1) % kMostInDevice;
    --ring_size_;
    changed_.notify_all();
  }
}

void DeviceLane::finish(const Submitted& submitted) {
  if (submitted.due_ns > now_ns()) {
    std::this_thread::sleep_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(submitted.due_ns)));
  }
  Flight& flight = *submitted.flight;
  const std::int64_t end = now_ns();
  flight.times[static_cast<std::size_t>(submitted.task)].end_ns = end;
  clock_.leave(submitted.in_hand.begin_ns, end, flight.carries_out(submitted.task) ? flight.task(submitted.task).bytes : 0);
  sink_.completed(flight, submitted.task);
}

}  // namespace gsnake::runtime
