#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "core/errors.h"
#include "io/engine.h"
#include "io/system_io.h"
#include "io/transfer_pool.h"

namespace gsnake::io {
namespace {

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

class ThreadEngine final : public IoEngine, private Mover {
 public:
  ThreadEngine(const EngineOptions& options, SystemIo& system) : system_(system), pool_(options, *this) {}

  int add_file(const File& file) override { return pool_.add_file(file); }
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

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override { return pool_.try_submit(requests); }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return pool_.in_flight(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return pool_.capacity(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  Moved move(const Part& part) noexcept override {
    const TransferState& rest = part.transfer;
    const std::int64_t result = rest.op() == Direction::read ? system_.pread(part.descriptor, rest.data(), rest.remaining(), rest.offset())
                                                             : system_.pwrite(part.descriptor, rest.data(), rest.remaining(), rest.offset());
    if (result < 0) return {.bytes = 0, .error = core::errno_code(static_cast<int>(-result))};
    return {.bytes = static_cast<std::uint64_t>(result), .error = {}};
  }

  const std::string name_ = "threads";
  SystemIo& system_;
  mutable std::mutex mutex_;
  RegistrationReport registration_{.error = std::make_error_code(std::errc::operation_not_supported)};  // guarded by mutex_
  TransferPool pool_;  // last: its threads use the others
};

}  // namespace

SystemIo& kernel_io() noexcept {
  static KernelIo kernel;
  return kernel;
}

std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options, SystemIo& system) {
  return std::make_unique<ThreadEngine>(options, system);
}

std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options) { return make_thread_engine(options, kernel_io()); }

}  // namespace gsnake::io
