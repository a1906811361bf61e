#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "core/threads.h"
#include "greedysnake/error.h"
#include "io/engine.h"
#include "io/request_table.h"
#include "io/system_io.h"

namespace gsnake::io {
namespace {

// What is in flight is threads times this: enough that the drive has work while threads wait for a core. Measured in docs/io.md.
constexpr std::size_t kDefaultSplitBytes = 4ULL << 20;
constexpr std::chrono::milliseconds kRetryPause{1};

class KernelIo final : public SystemIo {
 public:
  std::int64_t pread(int fd, std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    return result(::pread(fd, data, size, static_cast<off_t>(offset)));
  }
  std::int64_t pwrite(int fd, const std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    return result(::pwrite(fd, data, size, static_cast<off_t>(offset)));
  }

 private:
  static std::int64_t result(ssize_t returned) noexcept { return returned < 0 ? -static_cast<std::int64_t>(errno) : returned; }
};

class ThreadEngine final : public IoEngine {
 public:
  ThreadEngine(const EngineOptions& options, SystemIo& system)
      : system_(system), table_(options.depth, options.threads, options.split_bytes == 0 ? kDefaultSplitBytes : options.split_bytes) {
    threads_.reserve(options.threads);
    try {
      for (unsigned i = 0; i < options.threads; ++i) threads_.emplace_back([this, i] { run(i); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadEngine() override { stop(); }

  int add_file(const File& file) override {
    const std::lock_guard lock(mutex_);
    return table_.add_file(file);
  }
  // The kernel copies or pins at each call: there is nothing to prepare.
  RegistrationReport register_buffer(std::span<std::byte> memory) override {
    const std::lock_guard lock(mutex_);
    registration_.needed_bytes += memory.size();
    return registration_;
  }
  void withdraw_buffer(std::span<std::byte> /*memory*/) override {}
  [[nodiscard]] RegistrationReport registration() const override {
    const std::lock_guard lock(mutex_);
    return registration_;
  }

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override {
    const std::lock_guard lock(mutex_);
    if (!table_.try_add(requests)) return false;
    work_added_.notify_all();
    return true;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    const std::lock_guard lock(mutex_);
    return table_.in_flight();
  }
  [[nodiscard]] std::size_t capacity() const noexcept override { return table_.depth(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  void run(unsigned index) {
    core::set_thread_name(fmt::format("gsnake-io-{}", index));
    core::block_signals();
    std::unique_lock lock(mutex_);
    for (;;) {
      work_added_.wait(lock, [this] { return stopping_ || table_.has_next_part(); });
      Part* part = table_.next_part();
      if (part == nullptr) return;
      const int fd = table_.descriptor(part->file);
      lock.unlock();
      const std::error_code error = drive(part->transfer, fd);
      lock.lock();
      const Ended ended = table_.finish(*part, error);
      lock.unlock();
      ended.tell();
      lock.lock();
    }
  }

  std::error_code drive(TransferState& transfer, int fd) noexcept {
    for (;;) {
      const std::int64_t result = transfer.op() == Direction::read ? system_.pread(fd, transfer.data(), transfer.remaining(), transfer.offset())
                                                            : system_.pwrite(fd, transfer.data(), transfer.remaining(), transfer.offset());
      const NextMove verdict = transfer.on_result(result);
      if (verdict == NextMove::done || verdict == NextMove::fail) return transfer.error();
      if (verdict == NextMove::retry && result == -EAGAIN) std::this_thread::sleep_for(kRetryPause);
    }
  }

  // A thread leaves once nothing waits to be issued; parts in the hands of others are theirs to finish.
  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_added_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  const std::string name_ = "threads";
  SystemIo& system_;
  mutable std::mutex mutex_;
  std::condition_variable work_added_;
  RequestTable table_;                                                                                  // guarded by mutex_
  bool stopping_ = false;                                                                               // guarded by mutex_
  RegistrationReport registration_{.error = std::make_error_code(std::errc::operation_not_supported)};  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace

SystemIo& kernel_io() noexcept {
  static KernelIo kernel;
  return kernel;
}

std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options, SystemIo& system) {
  if (options.depth == 0 || options.threads == 0)
    throw Error(ErrorKind::usage, "an I/O engine needs a depth and a number of threads of at least 1");
  return std::make_unique<ThreadEngine>(options, system);
}

std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options) { return make_thread_engine(options, kernel_io()); }

}  // namespace gsnake::io
