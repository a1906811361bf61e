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
    : options_(options), map_(map), store_(store), slots_(slots), places_(memory), sink_(sink), throttle_(options.emulated_rate),
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
  arrived_.reserve(options.most_in_flight);
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
  changed_.wait(lock, [&] { return idle_.size() + arrived_.size() == operations_.size(); });
  lock.unlock();
  if (dispatcher_.joinable()) dispatcher_.join();
}

void SsdLane::dispatch() {
  core::set_thread_name(std::string("gs-") + schedule::kLaneNames[static_cast<std::size_t>(options_.lane)]);
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (Operation* operation = next(lock)) {
    lock.unlock();
    begin(*operation);
    submit(*operation);
    lock.lock();
  }
}

// Waits until a task is ready and an operation is idle, and puts them together; meanwhile lets go of what has arrived. Null: stop.
SsdLane::Operation* SsdLane::next(std::unique_lock<std::mutex>& lock) {
  while (true) {
    finish_due(lock);
    if (stopping_ || sink_.poisoned()) return nullptr;
    if (!queue_.empty() && !idle_.empty()) {
      Operation* operation = idle_.back();
      idle_.pop_back();
      const ReadyQueue::Entry entry = queue_.pop();
      operation->flight = entry.flight;
      operation->task = entry.task;
      operation->in_hand = {entry.flight->step, &entry.flight->task(entry.task), now_ns(), {}};
      operation->planned.store(false, std::memory_order_relaxed);
      return operation;
    }
    if (arrived_.empty()) {
      changed_.wait(lock);
    } else {
      const std::int64_t due = (*std::min_element(arrived_.begin(), arrived_.end(), [](auto* a, auto* b) { return a->due_ns < b->due_ns; }))->due_ns;
      changed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(due)));
    }
  }
}

std::optional<InHand> SsdLane::oldest() {
  const std::lock_guard lock(mutex_);
  std::optional<InHand> oldest;
  for (const auto& operation : operations_) {
    const bool idle = operation->task < 0;
    if (idle || (oldest && oldest->begin_ns <= operation->in_hand.begin_ns)) continue;
    oldest = operation->in_hand;
    oldest->where = pending_file(*operation);
  }
  return oldest;
}

// Of its first request that is not over. Under the lock, without which no operation becomes another task's.
std::string SsdLane::pending_file(const Operation& operation) const {
  if (!operation.planned.load(std::memory_order_acquire)) return {};
  for (std::size_t i = 0; i < operation.count; ++i) {
    if (!operation.parts[i].over.load(std::memory_order_relaxed)) return store_.path_of(operation.requests[i].file);
  }
  return {};
}

void SsdLane::finish_due(std::unique_lock<std::mutex>& lock) {
  for (std::size_t i = 0; i < arrived_.size();) {
    if (arrived_[i]->due_ns > now_ns()) {
      ++i;
      continue;
    }
    Operation* operation = arrived_[i];
    arrived_[i] = arrived_.back();
    arrived_.pop_back();
    lock.unlock();
    verify(*operation);
    finish(*operation);
    lock.lock();
    i = 0;
  }
}

void SsdLane::begin(Operation& operation) {
  Flight& flight = *operation.flight;
  const bool reads = options_.lane == Lane::ssd_read;
  const schedule::Task& task = flight.task(operation.task);
  const schedule::Access& buffer = *flight.graph().find(task, reads ? schedule::Role::destination : schedule::Role::source);
  const schedule::Access& file = *flight.graph().find(task, reads ? schedule::Role::source : schedule::Role::destination);
  operation.extent = file.resource - static_cast<int>(map_.buffers.size());
  operation.slot = !reads ? slots_.write_slot(operation.extent) : task.committed ? slots_.committed_slot() : slots_.read_slot(operation.extent);
  operation.data = places_.host(flight, buffer).get();
  const std::int64_t now = now_ns();
  clock_.enter(now);
  flight.times[static_cast<std::size_t>(operation.task)].begin_ns = now;
  operation.due_ns = throttle_.occupy(now, static_cast<double>(task.bytes));
  const schedule::Extent& extent = extent_of(operation);
  if (!reads && hashed(extent)) operation.checksum = store::checksum_of({operation.data, extent.bytes});
  operation.count = store_.plan(reads ? io::Direction::read : io::Direction::write, extent, operation.slot, operation.data, nullptr, operation.requests);
  for (std::size_t i = 0; i < operation.count; ++i) {
    operation.requests[i].completion = &operation.parts[i];
    operation.parts[i].over.store(false, std::memory_order_relaxed);
  }
  operation.planned.store(true, std::memory_order_release);
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
  over.store(true, std::memory_order_relaxed);
  if (operation->left.fetch_sub(1, std::memory_order_acq_rel) == 1) operation->lane->arrived(*operation);
}

std::string SsdLane::name_of(const Operation& operation) const {
  const schedule::Extent& extent = extent_of(operation);
  return fmt::format("{} of object {}", core::kExtentKindNames[core::index_of(extent.kind)], extent.object);
}

void SsdLane::report(const Operation& operation, std::size_t part, std::error_code error) noexcept {
  try {
    const io::Request& request = operation.requests[part];
    const char* verb = options_.lane == Lane::ssd_read ? "read" : "write";
    sink_.fail(std::make_exception_ptr(Error(ErrorKind::storage,
                                             fmt::format("cannot {} {}: {} bytes at offset {} of {}: {}; check the drive and start the run again", verb,
                                                         name_of(operation), request.size, request.offset, store_.path_of(request.file), error.message()),
                                             error)));
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

// What no commit names needs a checksum only for its own reads.
bool SsdLane::hashed(const schedule::Extent& extent) const { return options_.hash && (is_state(extent) || options_.verify); }

bool SsdLane::to_be_verified(const Operation& operation) const {
  if (!options_.verify || options_.lane != Lane::ssd_read) return false;
  const schedule::Extent& extent = extent_of(operation);
  return extent.kind == core::ExtentKind::base || (hashed(extent) && slots_.checksum(operation.extent, operation.slot).known);
}

void SsdLane::verify(const Operation& operation) noexcept {
  if (!to_be_verified(operation) || sink_.poisoned()) return;
  try {
    extent_of(operation).kind == core::ExtentKind::base ? check_base(operation) : check_written(operation);
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

void SsdLane::check_written(const Operation& operation) const {
  const std::uint64_t expected = slots_.checksum(operation.extent, operation.slot).value;
  const std::uint64_t found = store::checksum_of({operation.data, extent_of(operation).bytes});
  if (found != expected) fail_verification(operation, expected, found);
}

void SsdLane::check_base(const Operation& operation) const {
  constexpr std::uint64_t kBlock = core::kBaseBlockBytes;
  const schedule::Extent& extent = extent_of(operation);
  const std::uint64_t first = options_.base.first_block[extent.object] + extent.offset / kBlock;
  for (std::uint64_t i = 0; i < extent.bytes / kBlock; ++i) {
    const std::uint64_t expected = options_.base.blocks[first + i];
    const std::uint64_t found = store::checksum_of({operation.data + i * kBlock, kBlock});
    if (found == expected) continue;
    const io::Request& request = operation.requests.front();
    throw Error(ErrorKind::storage,
                fmt::format("cannot use {} B at offset {} of {} ({}): their hash is {:016x} and not {:016x}; the base is damaged: make it again with "
                            "gsnake quantize, or copy it anew",
                            kBlock, request.offset + i * kBlock, store_.path_of(request.file), name_of(operation), found, expected));
  }
}

void SsdLane::fail_verification(const Operation& operation, std::uint64_t expected, std::uint64_t found) const {
  std::string places;
  for (std::size_t i = 0; i < operation.count; ++i) {
    const io::Request& request = operation.requests[i];
    places += fmt::format("{}{} bytes at offset {} of {}", i == 0 ? "" : ", ", request.size, request.offset, store_.path_of(request.file));
  }
  throw Error(ErrorKind::storage, fmt::format("cannot use what was read of {}: {}: its checksum is {:016x}, but {:016x} was written; the drive or its controller "
                                              "returns wrong data: look at its log, then resume from the last commit",
                                              name_of(operation), places, found, expected));
}

// Checksums are computed on the dispatcher's thread: the engine's has other requests to attend to.
void SsdLane::arrived(Operation& operation) noexcept {
  if (operation.due_ns <= now_ns() && !to_be_verified(operation)) {
    finish(operation);
    return;
  }
  const std::lock_guard lock(mutex_);
  arrived_.push_back(&operation);
  changed_.notify_all();
}

void SsdLane::finish(Operation& operation) noexcept {
  Flight& flight = *operation.flight;
  const TaskId task = operation.task;
  const std::int64_t end = now_ns();
  flight.times[static_cast<std::size_t>(task)].end_ns = end;
  clock_.leave(operation.in_hand.begin_ns, end, flight.task(task).bytes);
  if (options_.lane == Lane::ssd_write) slots_.written(operation.extent, operation.slot, operation.checksum);
  if (!sink_.poisoned()) sink_.completed(flight, task);  // after a failure its data may not be what the graph thinks
  const std::lock_guard lock(mutex_);
  operation.task = -1;
  idle_.push_back(&operation);
  changed_.notify_all();
}

}  // namespace gsnake::runtime
