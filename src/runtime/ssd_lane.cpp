#include "runtime/ssd_lane.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::runtime {
namespace {

// Another lane may have filled the engine; it does not tell us when there is room again.
constexpr auto kEngineFullWait = std::chrono::microseconds(200);

}  // namespace

SsdLane::SsdLane(const Options& options, const schedule::Map& map, store::Store& store, SlotTable& slots, const MemoryImage& memory, TaskSink& sink)
    : options_(options), map_(map), store_(store), slots_(slots), memory_(memory), sink_(sink), throttle_(options.emulated_rate),
      queue_(options.most_ready) {
  std::uint64_t largest = 0;
  for (const schedule::Extent& extent : map.extents) largest = std::max(largest, extent.bytes);
  for (std::size_t i = 0; i < options.most_in_flight; ++i) {
    auto operation = std::make_unique<Operation>();
    operation->lane = this;
    operation->requests.resize(store.max_requests(largest));
    operation->parts = std::vector<Part>(operation->requests.size());
    for (std::size_t k = 0; k < operation->parts.size(); ++k) {
      operation->parts[k].operation = operation.get();
      operation->parts[k].index = k;
    }
    idle_.push_back(operation.get());
    operations_.push_back(std::move(operation));
  }
  early_.reserve(options.most_in_flight);
  dispatcher_ = std::thread([this] { dispatch(); });
}

void SsdLane::ready(Flight& flight, TaskId task) {
  const std::lock_guard lock(mutex_);
  queue_.push(flight, task);
  changed_.notify_all();
}

void SsdLane::stop() noexcept {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  // Buffers belong to the engine until it says otherwise.
  changed_.wait(lock, [&] { return idle_.size() + early_.size() == operations_.size(); });
  lock.unlock();
  if (dispatcher_.joinable()) dispatcher_.join();
}

void SsdLane::dispatch() {
  core::set_thread_name(std::string("gs-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (Operation* operation = next(lock)) {
    const ReadyQueue::Entry entry = queue_.pop();
    lock.unlock();
    begin(*operation, entry);
    submit(*operation);
    lock.lock();
  }
}

// Waits until a task is ready and an operation is idle; meanwhile lets go of what was held back. Null: stop.
SsdLane::Operation* SsdLane::next(std::unique_lock<std::mutex>& lock) {
  while (true) {
    finish_due(lock);
    if (stopping_ || sink_.poisoned()) return nullptr;
    if (!queue_.empty() && !idle_.empty()) {
      Operation* operation = idle_.back();
      idle_.pop_back();
      return operation;
    }
    if (early_.empty()) {
      changed_.wait(lock);
    } else {
      const std::int64_t due = (*std::min_element(early_.begin(), early_.end(), [](auto* a, auto* b) { return a->due_ns < b->due_ns; }))->due_ns;
      changed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(due)));
    }
  }
}

void SsdLane::finish_due(std::unique_lock<std::mutex>& lock) {
  for (std::size_t i = 0; i < early_.size();) {
    if (early_[i]->due_ns > now_ns()) {
      ++i;
      continue;
    }
    Operation* operation = early_[i];
    early_[i] = early_.back();
    early_.pop_back();
    lock.unlock();
    finish(*operation);
    lock.lock();
    i = 0;
  }
}

const schedule::Access& SsdLane::extent_of(const Flight& flight, TaskId task) const {
  return *flight.graph().find(flight.task(task), options_.lane == Lane::ssd_read ? schedule::Role::source : schedule::Role::destination);
}

void SsdLane::begin(Operation& operation, const ReadyQueue::Entry& entry) {
  Flight& flight = *entry.flight;
  const bool reads = options_.lane == Lane::ssd_read;
  const schedule::Task& task = flight.task(entry.task);
  const schedule::Access& buffer = *flight.graph().find(task, reads ? schedule::Role::destination : schedule::Role::source);
  const int extent = extent_of(flight, entry.task).resource - static_cast<int>(map_.buffers.size());
  operation.flight = &flight;
  operation.task = entry.task;
  operation.slot = reads ? slots_.read_slot(extent) : slots_.write_slot(extent);
  const std::int64_t now = now_ns();
  clock_.enter(now);
  flight.times[static_cast<std::size_t>(entry.task)].begin_ns = now;
  operation.due_ns = throttle_.occupy(now, static_cast<double>(task.bytes));
  std::byte* data = memory_.address(flight.physical[static_cast<std::size_t>(buffer.resource)]) + buffer.offset;
  operation.count = store_.plan(reads ? io::Op::read : io::Op::write, store_extent(map_.extents[static_cast<std::size_t>(extent)]), operation.slot,
                                data, nullptr, operation.requests);
  for (std::size_t i = 0; i < operation.count; ++i) operation.requests[i].completion = &operation.parts[i];
  operation.left.store(operation.count, std::memory_order_relaxed);
}

// In parts: an operation may have more pieces than the engine has places, and the other lane needs some too.
void SsdLane::submit(Operation& operation) {
  const std::size_t count = operation.count;  // the operation may be over, and another's, once its last piece is submitted
  const std::size_t most = std::max<std::size_t>(1, store_.engine().capacity() / 4);
  for (std::size_t first = 0; first < count;) {
    const std::size_t part = std::min(most, count - first);
    if (store_.engine().try_submit({operation.requests.data() + first, part})) {
      first += part;
      continue;
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kEngineFullWait);
  }
}

void SsdLane::Part::on_complete(std::error_code error) noexcept {
  if (error) operation->lane->report(*operation, index, error);
  if (operation->left.fetch_sub(1, std::memory_order_acq_rel) == 1) operation->lane->arrived(*operation);
}

void SsdLane::report(const Operation& operation, std::size_t part, std::error_code error) noexcept {
  try {
    const io::Request& request = operation.requests[part];
    const schedule::Access& access = extent_of(*operation.flight, operation.task);
    const schedule::Extent& extent = map_.extents[static_cast<std::size_t>(access.resource) - map_.buffers.size()];
    const bool reads = options_.lane == Lane::ssd_read;
    sink_.fail(std::make_exception_ptr(Error(
        ErrorKind::storage,
        fmt::format("cannot {} {} of object {}: {} bytes at offset {} of {}: {}; check the drive and start the run again",
                    reads ? "read" : "write", store::kKindNames[static_cast<std::size_t>(extent.kind)], extent.object, request.size, request.offset,
                    store_.path_of(request.file), error.message()),
        error)));
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

void SsdLane::arrived(Operation& operation) noexcept {
  if (operation.due_ns <= now_ns()) {
    finish(operation);
    return;
  }
  const std::lock_guard lock(mutex_);
  early_.push_back(&operation);
  changed_.notify_all();
}

void SsdLane::finish(Operation& operation) noexcept {
  Flight& flight = *operation.flight;
  const TaskId task = operation.task;
  const std::int64_t end = now_ns();
  flight.times[static_cast<std::size_t>(task)].end_ns = end;
  clock_.leave(end, flight.task(task).bytes);
  if (options_.lane == Lane::ssd_write) slots_.written(extent_of(flight, task).resource - static_cast<int>(map_.buffers.size()));
  if (!sink_.poisoned()) sink_.completed(flight, task);  // after a failure its data may not be what the graph thinks
  const std::lock_guard lock(mutex_);
  idle_.push_back(&operation);
  changed_.notify_all();
}

}  // namespace gsnake::runtime
