#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/threads.h"
#include "core/unique_fd.h"
#include "io/engine.h"
#include "io/registered_buffers.h"
#include "io/request_table.h"

namespace gsnake::io {
namespace {

// Large enough for a drive's full speed, small enough that one request keeps several transfers in flight.
constexpr std::size_t kDefaultSplitBytes = 4ULL << 20;
constexpr unsigned kMaxDepth = 16384;  // half of the kernel's limit for a submission queue
constexpr std::chrono::milliseconds kRetryPause{1};
constexpr const char* kRemedy =
    "allow io_uring for this process (kernel.io_uring_disabled, seccomp profile) or set ssd.engine = \"threads\"";

// The kernel's queues. Owner of the ring.
class Ring {
 public:
  explicit Ring(unsigned entries) {
    // COOP_TASKRUN (5.19) spares interrupts: the one thread that submits also waits. SUBMIT_ALL (5.18): a bad entry does not hold back
    // those after it. Older kernels refuse unknown flags.
    constexpr std::array kFlags{IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL, IORING_SETUP_CLAMP, 0U};
    int result = -EINVAL;
    for (std::size_t i = 0; i < kFlags.size() && result == -EINVAL; ++i) result = io_uring_queue_init(entries, &ring_, kFlags[i]);
    if (result < 0) core::throw_storage("set up", "io_uring", core::errno_code(-result), kRemedy);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { io_uring_queue_exit(&ring_); }
  io_uring& get() noexcept { return ring_; }

 private:
  io_uring ring_{};
};

core::UniqueFd make_wake_up() {
  core::UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) core::throw_storage("set up", "io_uring's wake-up", core::errno_code(), "raise the limit of open files (ulimit -n)");
  return fd;
}

// One thread owns the ring: it submits what others put into the table and reaps what completes. A request's fate thus does not hang on the
// life of the thread that asked for it (the kernel cancels queued work of a thread that exits), and the ring needs no lock.
class UringEngine final : public IoEngine {
 public:
  explicit UringEngine(const EngineOptions& options)
      : table_(options.depth, options.depth, options.split_bytes == 0 ? kDefaultSplitBytes : options.split_bytes),
        wake_up_(make_wake_up()),
        ring_(options.depth + 1),  // an entry for each part and one for the wake-up: it is never full
        buffers_(ring_.get()),
        thread_([this] { run(); }) {}

  ~UringEngine() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    first_work_.notify_one();
    wake();
    thread_.join();
  }

  int add_file(const File& file) override {
    const std::lock_guard lock(mutex_);
    return table_.add_file(file);
  }
  bool register_buffer(std::span<std::byte> memory) override {
    const std::lock_guard lock(mutex_);
    return !memory.empty() && buffers_.add(memory);
  }

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override {
    bool must_wake = false;
    {
      const std::lock_guard lock(mutex_);
      if (!table_.try_add(requests)) return false;
      if (!std::exchange(started_, true)) first_work_.notify_one();
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
  void run() {
    core::set_thread_name("gsnake-uring");
    core::block_signals();
    {
      // Until then the ring is left to add_file() and register_buffer().
      std::unique_lock lock(mutex_);
      first_work_.wait(lock, [this] { return started_ || stopping_; });
    }
    register_files();
    while (fill_queue()) {
      submit_and_wait();
      {
        const std::lock_guard lock(mutex_);
        sleeping_ = false;
      }
      reap();
    }
    // Closing a ring is asynchronous; without this, files and pinned memory would live on for a moment after the engine.
    buffers_.clear();
    if (files_registered_) io_uring_unregister_files(&ring_.get());
  }

  void register_files() {
    const std::vector<int>& files = table_.descriptors();
    if (files.empty()) return;
    const int result = io_uring_register_files(&ring_.get(), files.data(), static_cast<unsigned>(files.size()));
    files_registered_ = result == 0;
    if (result < 0) spdlog::debug("io_uring: registering {} files: {}", files.size(), core::errno_code(-result).message());
  }

  // Queues every part that can go. False when all is done and the engine is to stop.
  bool fill_queue() {
    const std::lock_guard lock(mutex_);
    while (Part* part = table_.next_part()) queue(*part);
    if (stopping_ && table_.in_flight() == 0) return false;
    if (!armed_) {
      io_uring_sqe* entry = next_entry();
      io_uring_prep_poll_add(entry, wake_up_.get(), POLLIN);
      io_uring_sqe_set_data(entry, nullptr);
      armed_ = true;
    }
    sleeping_ = true;
    return true;
  }

  io_uring_sqe* next_entry() noexcept {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_.get());
    assert(entry != nullptr && "every part and the wake-up have an entry of their own");
    return entry;
  }

  void queue(Part& part) noexcept {
    const TransferState& transfer = part.transfer;
    const auto size = static_cast<unsigned>(transfer.remaining());
    const bool fixed_file = files_registered_ && part.file >= 0;
    const int file = fixed_file ? part.file : table_.descriptor(part.file);
    const int buffer = buffers_.find(transfer.data(), size);
    io_uring_sqe* entry = next_entry();
    if (transfer.op() == Op::read && buffer >= 0) {
      io_uring_prep_read_fixed(entry, file, transfer.data(), size, transfer.offset(), buffer);
    } else if (transfer.op() == Op::read) {
      io_uring_prep_read(entry, file, transfer.data(), size, transfer.offset());
    } else if (buffer >= 0) {
      io_uring_prep_write_fixed(entry, file, transfer.data(), size, transfer.offset(), buffer);
    } else {
      io_uring_prep_write(entry, file, transfer.data(), size, transfer.offset());
    }
    if (fixed_file) entry->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(entry, &part);
  }

  void submit_and_wait() {
    const int result = io_uring_submit_and_wait(&ring_.get(), 1);
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

  // Takes back what the kernel has not accepted, which it reads during io_uring_enter only, and ends those parts.
  void fail_queued(std::error_code why) {
    io_uring_sq& queue = ring_.get().sq;
    const unsigned accepted = *queue.khead;
    const unsigned end = queue.sqe_tail;
    queue.sqe_tail = queue.sqe_head = accepted;
    std::atomic_ref(*queue.ktail).store(accepted, std::memory_order_release);
    for (unsigned i = accepted; i != end; ++i) {
      auto* part = reinterpret_cast<Part*>(queue.sqes[i & *queue.kring_mask].user_data);
      if (part == nullptr) {
        armed_ = false;
      } else {
        finish(*part, why);
      }
    }
  }

  void reap() {
    io_uring_cqe* event = nullptr;
    while (io_uring_peek_cqe(&ring_.get(), &event) == 0) {
      auto* part = static_cast<Part*>(io_uring_cqe_get_data(event));
      const int result = event->res;
      io_uring_cqe_seen(&ring_.get(), event);
      if (part == nullptr) {
        on_wake_up();
      } else {
        on_result(*part, result);
      }
    }
  }

  void on_wake_up() noexcept {
    armed_ = false;
    std::uint64_t count = 0;
    // Nothing to read is fine: the wake-up only ends a wait.
    static_cast<void>(::read(wake_up_.get(), &count, sizeof count));
  }

  void on_result(Part& part, int result) {
    switch (part.transfer.on_result(result)) {
      case Verdict::done:
      case Verdict::fail:
        finish(part, part.transfer.error());
        return;
      case Verdict::resubmit:
      case Verdict::retry:
        queue(part);
        return;
    }
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
    const std::uint64_t one = 1;
    // EAGAIN means that the counter is full: the thread is as good as awake.
    while (::write(wake_up_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  const std::string name_ = "io_uring";
  mutable std::mutex mutex_;
  std::condition_variable first_work_;
  RequestTable table_;     // guarded by mutex_; a part in flight belongs to the thread
  bool started_ = false;   // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  bool sleeping_ = false;  // guarded by mutex_: the thread waits, or is about to, and must be woken for new work
  core::UniqueFd wake_up_;
  Ring ring_;
  RegisteredBuffers buffers_;
  // The thread's own.
  bool files_registered_ = false;
  bool armed_ = false;  // the wake-up is queued or in flight
  unsigned refusals_ = 0;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<IoEngine> make_uring_engine(const EngineOptions& options) {
  if (options.depth == 0 || options.depth > kMaxDepth) {
    throw Error(ErrorKind::usage, fmt::format("an io_uring engine needs a depth of 1 to {}, not {}", kMaxDepth, options.depth));
  }
  return std::make_unique<UringEngine>(options);
}

}  // namespace gsnake::io
