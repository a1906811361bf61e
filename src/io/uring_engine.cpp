#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/threads.h"
#include "core/unique_fd.h"
#include "io/engine.h"
#include "io/interrupted.h"
#include "io/locked_memory.h"
#include "io/request_table.h"
#include "io/ring.h"
#include "io/ring_faults.h"

namespace gsnake::io {
namespace {

// Large enough for a drive's full speed, small enough that one request keeps several transfers in flight.
constexpr std::size_t kDefaultSplitBytes = 4ULL << 20;
constexpr unsigned kMaxDepth = 16384;  // half of the kernel's limit for a submission queue
constexpr unsigned kOwnEntries = 2;    // the wake-up and the timer
constexpr std::chrono::milliseconds kRetryPause{1};

core::UniqueFd make_wake_up() {
  core::UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) core::throw_storage("set up", "io_uring's wake-up", core::errno_code(), "raise the limit of open files (ulimit -n)");
  return fd;
}

// What the ring's thread does for others while nothing is in flight: of old kernels, some wait for that, and a ring made for one thread
// takes registrations from no other.
struct Command {
  enum class Kind : std::uint8_t { register_files, register_buffer, withdraw_buffer };
  Kind kind = Kind::register_files;
  std::span<std::byte> memory;
  std::error_code error;
  bool done = false;
};

// One thread owns the ring: it submits what others put into the table and reaps what completes. A request's fate thus does not hang on the
// life of the thread that asked for it (the kernel cancels queued work of a thread that exits), and the ring needs no lock.
class UringEngine final : public IoEngine {
 public:
  UringEngine(const EngineOptions& options, RingFaults* faults)
      : options_(options.uring),
        faults_(faults),
        table_(options.depth, options.depth, options.split_bytes == 0 ? kDefaultSplitBytes : options.split_bytes),
        wake_up_(make_wake_up()) {
    backing_off_.reserve(options.depth);
    if (faults != nullptr) held_.reserve(options.depth);
    std::promise<void> made;
    std::future<void> ready = made.get_future();
    thread_ = std::thread([this, &made] { run(made); });
    try {
      ready.get();
    } catch (...) {
      thread_.join();
      throw;
    }
  }

  ~UringEngine() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake();
    thread_.join();
  }

  int add_file(const File& file) override {
    int index = 0;
    {
      const std::lock_guard lock(mutex_);
      index = table_.add_file(file);
    }
    if (options_.register_files) static_cast<void>(carry_out(Command::Kind::register_files));
    return index;
  }

  RegistrationReport register_buffer(std::span<std::byte> memory) override {
    if (memory.empty()) return {.error = std::make_error_code(std::errc::invalid_argument)};
    const std::error_code error = options_.register_buffers ? carry_out(Command::Kind::register_buffer, memory)
                                                            : std::make_error_code(std::errc::operation_not_supported);
    const RegistrationReport report{!error, memory.size(), memlock_limit(), error};
    if (error && options_.register_buffers && !warned_.exchange(true)) spdlog::warn("{}", describe(report));
    const std::lock_guard lock(mutex_);
    registration_.ok = report.ok && (registration_.ok || registration_.needed_bytes == 0);
    registration_.needed_bytes += report.needed_bytes;
    registration_.limit_bytes = report.limit_bytes;
    if (!registration_.error) registration_.error = report.error;
    return report;
  }
  void withdraw_buffer(std::span<std::byte> memory) override {
    if (options_.register_buffers && !memory.empty()) static_cast<void>(carry_out(Command::Kind::withdraw_buffer, memory));
  }
  [[nodiscard]] RegistrationReport registration() const override {
    const std::lock_guard lock(mutex_);
    return registration_;
  }

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override {
    bool must_wake = false;
    {
      const std::lock_guard lock(mutex_);
      if (!table_.try_add(requests)) return false;
      must_wake = std::exchange(sleeping_, false);
    }
    if (must_wake) wake();
    return true;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    const std::lock_guard lock(mutex_);
    return table_.in_flight();
  }
  [[nodiscard]] std::size_t capacity() const noexcept override { return table_.depth(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  struct Held {
    Part* part = nullptr;
    int result = 0;
  };

  void run(std::promise<void>& made) {
    core::set_thread_name("gsnake-uring");
    core::block_signals();
    std::optional<Ring> ring;
    try {
      ring.emplace(static_cast<unsigned>(table_.depth()) + kOwnEntries, options_, faults_);
    } catch (...) {
      made.set_exception(std::current_exception());
      return;
    }
    ring_ = &*ring;
    made.set_value();
    while (fill_queue()) {
      submit_and_wait();
      {
        const std::lock_guard lock(mutex_);
        sleeping_ = false;
      }
      reap();
    }
  }

  // ---- Commands ----

  std::error_code carry_out(Command::Kind kind, std::span<std::byte> memory = {}) {
    if (std::this_thread::get_id() == thread_.get_id()) {
      std::fputs("gsnake: a completion may add no file and register no memory\n", stderr);
      std::abort();
    }
    Command command{.kind = kind, .memory = memory, .error = {}, .done = false};
    std::unique_lock lock(mutex_);
    command_changed_.wait(lock, [this] { return command_ == nullptr; });
    command_ = &command;
    sleeping_ = false;
    lock.unlock();
    wake();
    lock.lock();
    command_changed_.wait(lock, [&command] { return command.done; });
    return command.error;
  }

  // Without the lock while memory is pinned, which takes a while: others may go on submitting.
  void obey(std::unique_lock<std::mutex>& lock) {
    Command& command = *command_;
    const std::vector<int> files = table_.descriptors();
    lock.unlock();
    switch (command.kind) {
      case Command::Kind::register_files: ring_->register_files(files); break;
      case Command::Kind::register_buffer: command.error = ring_->buffers().add(command.memory); break;
      case Command::Kind::withdraw_buffer: ring_->buffers().remove(command.memory); break;
    }
    lock.lock();
    command.done = true;
    command_ = nullptr;
    command_changed_.notify_all();
  }

  // ---- The thread ----

  [[nodiscard]] bool quiet() const noexcept { return in_kernel_ == 0 && !armed_ && !timer_runs_ && backing_off_.empty(); }

  // Queues every part that can go. False when all is done and the engine is to stop.
  bool fill_queue() {
    std::unique_lock lock(mutex_);
    for (;;) {
      while (command_ != nullptr && quiet()) obey(lock);
      if (command_ == nullptr) {
        while (Part* part = table_.next_part()) queue(*part);
      }
      if (stopping_ && table_.in_flight() == 0 && command_ == nullptr) return false;
      if (!options_.completion_polling || in_kernel_ > 0 || !backing_off_.empty()) break;
      // A ring that polls for completions has no place for the wake-up, and nothing to poll for.
      work_added_.wait(lock, [this] { return stopping_ || command_ != nullptr || table_.has_next_part(); });
    }
    if (!armed_ && command_ == nullptr && !options_.completion_polling) {
      ring_->queue_poll(wake_up_.get(), &armed_);
      armed_ = true;
    }
    sleeping_ = true;
    return true;
  }

  [[nodiscard]] static RingTransfer rest_of(const TransferState& transfer) noexcept {
    return {transfer.op(), transfer.offset(), transfer.remaining()};
  }

  void queue(Part& part) noexcept {
    const TransferState& transfer = part.transfer;
    const std::size_t most = faults_ == nullptr ? transfer.remaining() : faults_->limit(rest_of(transfer));
    ring_->queue({transfer.op(), part.file, part.descriptor, transfer.offset(), transfer.data(), static_cast<unsigned>(most)}, &part);
    ++in_kernel_;
  }

  void submit_and_wait() {
    start_timer();
    const int result = ring_->submit_and_wait();
    if (result >= 0) {
      refusals_ = 0;
      return;
    }
    // The wait was interrupted, not the submission: the next round goes on.
    if (result == -EINTR) return;
    if ((result == -EAGAIN || result == -EBUSY) && ++refusals_ <= TransferState::kMaxRetries) {
      std::this_thread::sleep_for(kRetryPause);
      return;
    }
    refusals_ = 0;
    fail_queued(core::errno_code(-result));
    std::this_thread::sleep_for(kRetryPause);
  }

  void fail_queued(std::error_code why) {
    ring_->take_back([&](void* mark) {
      if (mark == &armed_) {
        armed_ = false;
      } else if (mark == &timer_runs_) {
        timer_runs_ = false;
      } else {
        --in_kernel_;
        finish(*static_cast<Part*>(mark), why);
      }
    });
  }

  void reap() {
    ring_->reap([this](void* mark, int result) {
      if (mark == &armed_) {
        on_wake_up();
      } else if (mark == &timer_runs_) {
        on_timer();
      } else if (faults_ == nullptr) {
        on_result(*static_cast<Part*>(mark), result);
      } else {
        held_.push_back({static_cast<Part*>(mark), result});
      }
    });
    if (faults_ != nullptr) let_go();
  }

  void let_go() {
    while (!held_.empty()) {
      std::size_t next = faults_->next(held_.size());
      if (next >= held_.size()) {
        if (in_kernel_ > held_.size()) return;
        next = 0;
      }
      const Held held = held_[next];
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(next));
      on_result(*held.part, faults_->result(rest_of(held.part->transfer), held.result));
    }
  }

  void on_wake_up() noexcept {
    armed_ = false;
    std::uint64_t count = 0;
    // Nothing to read is fine: the wake-up only ends a wait.
    static_cast<void>(::read(wake_up_.get(), &count, sizeof count));
  }

  void on_result(Part& part, int result) {
    --in_kernel_;
    switch (part.transfer.on_result(result)) {
      case NextMove::done:
      case NextMove::fail:
        finish(part, part.transfer.error());
        return;
      case NextMove::retry:
        if (result == -EAGAIN) {
          backing_off_.push_back(&part);
          return;
        }
        [[fallthrough]];
      case NextMove::resubmit:
        queue(part);
        return;
    }
  }

  // ---- Parts that wait before they are tried again ----

  // For those that wait: one timer for all, so that the others' completions are not held up.
  void start_timer() {
    if (backing_off_.empty() || timer_runs_) return;
    if (options_.completion_polling) {  // such a ring has no timers
      std::this_thread::sleep_for(kRetryPause);
      on_timer();
      return;
    }
    ring_->queue_timer(pause_, &timer_runs_);
    timer_runs_ = true;
  }

  void on_timer() noexcept {
    timer_runs_ = false;
    for (Part* part : backing_off_) queue(*part);
    backing_off_.clear();
  }

  void finish(Part& part, std::error_code error) {
    Ended ended;
    {
      const std::lock_guard lock(mutex_);
      ended = table_.finish(part, error);
    }
    ended.tell();
  }

  void wake() noexcept {
    if (options_.completion_polling) {
      const std::lock_guard lock(mutex_);
      work_added_.notify_one();
      return;
    }
    const std::uint64_t one = 1;
    // EAGAIN means that the counter is full: the thread is as good as awake.
    static_cast<void>(retry_interrupted([&] { return ::write(wake_up_.get(), &one, sizeof one); }));
  }

  const std::string name_ = "io_uring";
  const UringOptions options_;
  RingFaults* const faults_;
  mutable std::mutex mutex_;
  std::condition_variable work_added_;  // of a ring that polls for completions
  std::condition_variable command_changed_;
  RequestTable table_;               // guarded by mutex_; a part in flight belongs to the thread
  Command* command_ = nullptr;       // guarded by mutex_
  RegistrationReport registration_;  // guarded by mutex_
  bool stopping_ = false;            // guarded by mutex_
  bool sleeping_ = false;            // guarded by mutex_: the thread waits, or is about to, and must be woken for new work
  std::atomic<bool> warned_{false};
  core::UniqueFd wake_up_;
  // The thread's own.
  Ring* ring_ = nullptr;
  std::size_t in_kernel_ = 0;  // parts queued, in flight, or held by faults_
  bool armed_ = false;         // the wake-up is queued or in flight
  bool timer_runs_ = false;    // likewise
  __kernel_timespec pause_{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(kRetryPause).count()};
  std::vector<Part*> backing_off_;
  std::vector<Held> held_;
  unsigned refusals_ = 0;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<IoEngine> make_uring_engine(const EngineOptions& options, RingFaults* faults) {
  if (options.depth == 0 || options.depth > kMaxDepth) {
    throw Error(ErrorKind::usage, fmt::format("an io_uring engine needs a depth of 1 to {}, not {}", kMaxDepth, options.depth));
  }
  return make_within_locked_memory(options.depth, [&](unsigned depth) {
    EngineOptions fitting = options;
    fitting.depth = depth;
    return std::make_unique<UringEngine>(fitting, faults);
  });
}

std::unique_ptr<IoEngine> make_uring_engine(const EngineOptions& options) { return make_uring_engine(options, nullptr); }

}  // namespace gsnake::io
