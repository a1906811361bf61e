#include "device/async_device.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>

#include "core/threads.h"
#include "device/pages.h"

namespace gsnake::device {

// The first exception of the device's work.
class Failure {
 public:
  void set(std::exception_ptr exception) {
    const std::lock_guard lock(mutex_);
    if (exception_ == nullptr) exception_ = std::move(exception);
    failed_.store(true, std::memory_order_relaxed);
  }
  // Relaxed here and in BlockTable: bookkeeping must not order the streams' work, else ThreadSanitizer would take a missing wait for right.
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_relaxed); }
  void rethrow() const {
    if (!failed()) return;
    const std::lock_guard lock(mutex_);
    std::rethrow_exception(exception_);
  }

 private:
  mutable std::mutex mutex_;
  std::exception_ptr exception_;
  std::atomic<bool> failed_{false};
};

namespace {

[[noreturn]] void abort_with(const char* message) {
  std::fprintf(stderr, "AsyncDevice: %s\n", message);
  std::abort();
}

// One recording of an event: shared by the event, the stream that will pass it and those that wait.
class Point {
 public:
  void pass() {
    const std::lock_guard lock(mutex_);
    passed_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool passed() const {
    const std::lock_guard lock(mutex_);
    return passed_;
  }
  void await() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passed_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool passed_ = false;
};

// `point_` has no lock: a record() that the caller did not order before a wait() is then a race that ThreadSanitizer shows.
class AsyncEvent final : public Event {
 public:
  explicit AsyncEvent(const Failure& failure) : failure_(failure) {}
  [[nodiscard]] bool reached() const override {
    if (point_ == nullptr) return true;
    if (!point_->passed()) return false;
    failure_.rethrow();
    return true;
  }
  void wait() const override {
    if (point_ == nullptr) return;
    point_->await();
    failure_.rethrow();
  }
  [[nodiscard]] const std::shared_ptr<Point>& point() const { return point_; }
  void set_point(std::shared_ptr<Point> point) { point_ = std::move(point); }

 private:
  const Failure& failure_;
  std::shared_ptr<Point> point_;
};

}  // namespace

enum class Tier : std::uint8_t { device, host };

// The blocks that this device gave out, and how much queued work uses each.
class BlockTable {
 public:
  class Use;

  ~BlockTable() {
    if (!blocks_.empty()) abort_with("the device was destroyed before its memory");
  }
  template <typename Pointer>
  Memory<Pointer> add(std::size_t bytes, Tier tier) {
    HostMemory pages = map_pages<HostPtr>(bytes, tier == Tier::host ? "host" : "device");
    if (!pages.data()) return {};
    std::byte* data = pages.data().get();
    const std::lock_guard lock(mutex_);
    Block& block = blocks_[data];
    block.pages = std::move(pages);
    block.tier = tier;
    return {Pointer(data), bytes, [this, data] { remove(data); }};
  }
  Use use(const std::byte* data, std::size_t bytes, Tier tier);

 private:
  struct Block {
    HostMemory pages;
    Tier tier = Tier::host;
    std::atomic<int> in_flight{0};
  };

  void remove(std::byte* data) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(data);
    if (found->second.in_flight.load(std::memory_order_relaxed) > 0) abort_with("memory was released while work on it was in flight");
    blocks_.erase(found);
  }

  std::mutex mutex_;
  std::map<const std::byte*, Block> blocks_;
};

// Counts one piece of work as in flight on a block.
class BlockTable::Use {
 public:
  explicit Use(std::atomic<int>& in_flight) : in_flight_(&in_flight) { in_flight_->fetch_add(1, std::memory_order_relaxed); }
  Use(Use&& other) noexcept : in_flight_(std::exchange(other.in_flight_, nullptr)) {}
  Use& operator=(Use&&) = delete;
  ~Use() {
    if (in_flight_ != nullptr) in_flight_->fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<int>* in_flight_;
};

BlockTable::Use BlockTable::use(const std::byte* data, std::size_t bytes, Tier tier) {
  const std::lock_guard lock(mutex_);
  auto after = blocks_.upper_bound(data);
  if (after != blocks_.begin()) {
    Block& block = std::prev(after)->second;
    const auto offset = static_cast<std::size_t>(data - block.pages.data().get());
    if (block.tier == tier && offset <= block.pages.bytes() && bytes <= block.pages.bytes() - offset) return Use(block.in_flight);
  }
  throw std::logic_error(fmt::format("no live block of the device's {} memory holds the {} B at {}", tier == Tier::host ? "host" : "own", bytes,
                                     static_cast<const void*>(data)));
}

// A queue and the thread that empties it.
class AsyncStream final : public Stream {
 public:
  AsyncStream(StreamKind kind, const AsyncOptions& options, BlockTable& blocks, Failure& failure)
      : blocks_(blocks),
        failure_(failure),
        random_(options.seed * kStreamCount + static_cast<std::uint64_t>(kind)),
        delay_us_(0, options.longest_delay.count()),
        worker_([this, kind] { run(static_cast<int>(kind)); }) {}

  void copy(DevicePtr destination, HostPtr source, std::size_t bytes) override { move(on(destination), on(source), bytes); }
  void copy(HostPtr destination, DevicePtr source, std::size_t bytes) override { move(on(destination), on(source), bytes); }
  void copy(DevicePtr destination, DevicePtr source, std::size_t bytes) override { move(on(destination), on(source), bytes); }
  void fill_zero(DevicePtr destination, std::size_t bytes) override {
    if (bytes == 0) return;
    Operation operation{[data = address(destination), bytes] { std::memset(data, 0, bytes); }};
    operation.written.emplace(blocks_.use(address(destination), bytes, Tier::device));
    submit(std::move(operation));
  }
  void compute(const Work& work) override {
    submit({[work] { work(inside_compute()); }});
  }
  void wait(const Event& event) override {
    const std::shared_ptr<Point> point = dynamic_cast<const AsyncEvent&>(event).point();
    if (point != nullptr) submit({[point] { point->await(); }, false});
  }
  void record(Event& event) override {
    const auto point = std::make_shared<Point>();
    dynamic_cast<AsyncEvent&>(event).set_point(point);
    submit({[point] { point->pass(); }, false});
  }

  void set_held(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  // Nothing is submitted any more; the thread ends when the queue is empty.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    held_ = false;
    changed_.notify_all();
  }
  void join() { worker_.join(); }

 private:
  struct Place {
    std::byte* data = nullptr;
    Tier tier = Tier::host;
  };
  static Place on(HostPtr place) { return {place.get(), Tier::host}; }
  static Place on(DevicePtr place) { return {address(place), Tier::device}; }
  void move(const Place& destination, const Place& source, std::size_t bytes) {
    if (bytes == 0) return;
    Operation operation{[to = destination.data, from = source.data, bytes] { std::memcpy(to, from, bytes); }};
    operation.written.emplace(blocks_.use(destination.data, bytes, destination.tier));
    operation.read.emplace(blocks_.use(source.data, bytes, source.tier));
    submit(std::move(operation));
  }

  struct Operation {
    std::function<void()> run;
    bool is_work = true;  // and no point in the order: late, and left out after a failure
    std::optional<BlockTable::Use> written{};
    std::optional<BlockTable::Use> read{};
  };

  void submit(Operation operation) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(operation));
    changed_.notify_all();
  }
  // Empty at the end.
  std::optional<Operation> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !held_ && (closed_ || !queue_.empty()); });
    if (queue_.empty()) return std::nullopt;
    std::optional<Operation> operation(std::move(queue_.front()));
    queue_.pop_front();
    return operation;
  }
  // An operation, with what it captured, is gone before the next one starts, so before a point recorded after it is passed.
  void run(int index) {
    core::set_thread_name(fmt::format("async-{}", index));
    core::block_signals();
    while (std::optional<Operation> operation = next()) {
      if (!operation->is_work) {
        operation->run();
      } else {
        std::this_thread::sleep_for(next_delay());
        do_work(*operation);
      }
    }
  }
  std::chrono::microseconds next_delay() {
    const bool stalled = random_() % 16 == 0;
    return std::chrono::microseconds(delay_us_(random_)) * (stalled ? 16 : 1);
  }
  void do_work(const Operation& operation) {
    if (failure_.failed()) return;
    try {
      operation.run();
    } catch (...) {
      failure_.set(std::current_exception());
    }
  }

  BlockTable& blocks_;
  Failure& failure_;
  std::mt19937_64 random_;  // of the worker, like delay_us_
  std::uniform_int_distribution<std::chrono::microseconds::rep> delay_us_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Operation> queue_;
  bool held_ = false;
  bool closed_ = false;
  std::thread worker_;
};

AsyncDevice::AsyncDevice(const AsyncOptions& options) : failure_(std::make_unique<Failure>()), blocks_(std::make_unique<BlockTable>()) {
  for (int kind = 0; kind < kStreamCount; ++kind) {
    streams_[static_cast<std::size_t>(kind)] = std::make_unique<AsyncStream>(static_cast<StreamKind>(kind), options, *blocks_, *failure_);
  }
}

// All are closed before any is joined: one may wait for a point of another.
AsyncDevice::~AsyncDevice() {
  for (const auto& each : streams_) each->close();
  for (const auto& each : streams_) each->join();
}

DeviceMemory AsyncDevice::device_alloc(std::size_t bytes) { return blocks_->add<DevicePtr>(bytes, Tier::device); }
HostMemory AsyncDevice::host_alloc(std::size_t bytes) { return blocks_->add<HostPtr>(bytes, Tier::host); }
Stream& AsyncDevice::stream(StreamKind kind) { return *streams_[static_cast<std::size_t>(kind)]; }
std::unique_ptr<Event> AsyncDevice::make_event() { return std::make_unique<AsyncEvent>(*failure_); }
void AsyncDevice::hold(StreamKind kind) { streams_[static_cast<std::size_t>(kind)]->set_held(true); }
void AsyncDevice::resume(StreamKind kind) { streams_[static_cast<std::size_t>(kind)]->set_held(false); }

}  // namespace gsnake::device
