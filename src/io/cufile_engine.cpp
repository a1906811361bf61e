#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/cufile.h"
#include "io/cufile_buffers.h"
#include "io/cufile_driver.h"
#include "io/transfer_pool.h"

namespace gsnake::io {
namespace {

using cufile::Memory;

std::error_code error_of(ssize_t result, int number) noexcept {
  if (result == -1) return core::errno_code(number == 0 ? EIO : number);
  const int value = static_cast<int>(-result);
  return value >= cufile::code::kFirst ? cufile::make_error_code(value) : core::errno_code(value);
}

const char* remedy_of(int code) noexcept {
  switch (code) {
    case cufile::code::kInvalidFileOpenFlag:
    case cufile::code::kDirectIoNotSet:
      return "choose a folder whose file system takes O_DIRECT, or set ssd.engine = \"io_uring\"";
    case cufile::code::kIoNotSupported:
    case cufile::code::kIoDisabled:
      return "choose a folder that GPUDirect Storage supports (ext4 or xfs on NVMe), allow compatibility mode "
             "(CUFILE_ALLOW_COMPAT_MODE=true), or set ssd.engine = \"io_uring\"";
    default:
      return cufile::kSeeItsLog;
  }
}

// A file that cuFile knows, as long as this lives.
class Handle {
 public:
  Handle(const cufile::Calls& calls, const File& file) : calls_(calls) {
    cufile::Descriptor descriptor;
    descriptor.file.fd = file.fd();
    const cufile::Status status = calls_.handle_register(&handle_, &descriptor);
    if (status.code == 0) return;
    throw Error(ErrorKind::storage,
                fmt::format("cannot use cuFile on {}: cuFileHandleRegister: {}; {}", file.path(), describe(status), remedy_of(status.code)),
                cufile::make_error_code(status.code));
  }
  Handle(Handle&& other) noexcept : calls_(other.calls_), handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (handle_ != nullptr) calls_.handle_deregister(handle_);
  }
  [[nodiscard]] void* get() const noexcept { return handle_; }

 private:
  const cufile::Calls& calls_;
  void* handle_ = nullptr;
};

// Of cuFile's three ways to transfer, the blocking calls on a pool of threads. They work in every mode of cuFile and on every kind of
// memory and file, from any thread; each says how many bytes it moved or what failed, so that short transfers and errors are handled as
// those of the other engines are. Batches are refused in some modes (CU_FILE_BATCH_NOCOMPAT_ERROR), are short of room (128 transfers as a
// rule), and are called experimental by cufile.h. Transfers in the order of a CUDA stream report what failed only once the stream has got
// there, and need a stream, of which this module knows nothing.
class CuFileEngine final : public IoEngine, private Mover {
 public:
  CuFileEngine(const EngineOptions& options, const std::string& library, std::function<void()> enter_thread)
      : driver_(cufile::Driver::open(library)),
        calls_(driver_->calls()),
        enter_thread_(std::move(enter_thread)),
        buffers_(calls_),
        pool_(options, *this) {}

  int add_file(const File& file) override {
    Handle handle(calls_, file);
    const std::lock_guard lock(mutex_);
    handles_.reserve(handles_.size() + 1);
    const int index = pool_.add_file(file);
    handles_.push_back(std::move(handle));
    return index;
  }

  RegistrationReport register_buffer(std::span<std::byte> memory) override { return add_buffer(memory, Memory::host); }
  RegistrationReport register_device_buffer(std::span<std::byte> memory) override { return add_buffer(memory, Memory::device); }
  void withdraw_buffer(std::span<std::byte> memory) override { buffers_.remove(memory); }
  [[nodiscard]] RegistrationReport registration() const override {
    const std::lock_guard lock(mutex_);
    return registration_;
  }

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override { return pool_.try_submit(requests); }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return pool_.in_flight(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return pool_.capacity(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  void enter_thread() noexcept override {
    if (enter_thread_) enter_thread_();
  }

  Moved move(const Part& part) noexcept override {
    const TransferState& rest = part.transfer;
    void* const handle = handle_of(part.file);
    if (handle == nullptr) return {.bytes = 0, .error = core::errno_code(EBADF)};
    if (rest.remaining() == 0) return {};  // which cuFile may take for an invalid argument
    const std::optional<cufile::Buffers::Use> memory = buffers_.use(rest.data(), rest.remaining());
    if (!memory) return {.bytes = 0, .error = core::errno_code(EFAULT)};
    const auto at = static_cast<off_t>(rest.offset());
    const auto from_base = static_cast<off_t>(memory->offset());
    const ssize_t result = rest.op() == Direction::read ? calls_.read(handle, memory->base(), rest.remaining(), at, from_base)
                                                        : calls_.write(handle, memory->base(), rest.remaining(), at, from_base);
    if (result < 0) return {.bytes = 0, .error = error_of(result, errno)};
    return {.bytes = static_cast<std::uint64_t>(result), .error = {}};
  }

  [[nodiscard]] void* handle_of(int file) const noexcept {
    const std::lock_guard lock(mutex_);
    return file < 0 ? nullptr : handles_[static_cast<std::size_t>(file)].get();
  }

  RegistrationReport add_buffer(std::span<std::byte> memory, Memory kind) {
    if (memory.empty()) return {.error = std::make_error_code(std::errc::invalid_argument)};
    const std::error_code error = buffers_.add(memory, kind);
    const RegistrationReport report{.ok = !error, .needed_bytes = memory.size(), .error = error};
    if (error && !warned_.exchange(true)) {
      spdlog::warn("cuFileBufRegister of {} of {} memory: {}; transfers take cuFile's own buffers", core::format_bytes(memory.size()),
                   kind == Memory::device ? "GPU" : "host", error.message());
    }
    const std::lock_guard lock(mutex_);
    registration_.ok = report.ok && (registration_.ok || registration_.needed_bytes == 0);
    registration_.needed_bytes += report.needed_bytes;
    if (!registration_.error) registration_.error = report.error;
    return report;
  }

  const std::string name_ = "cufile";
  // In the order of their making; their ends come the other way round: threads, memory, files, driver.
  const std::shared_ptr<cufile::Driver> driver_;
  const cufile::Calls& calls_;
  const std::function<void()> enter_thread_;
  mutable std::mutex mutex_;
  std::vector<Handle> handles_;      // guarded by mutex_; by the number of the file
  RegistrationReport registration_;  // guarded by mutex_
  std::atomic<bool> warned_{false};
  cufile::Buffers buffers_;
  TransferPool pool_;
};

}  // namespace

std::unique_ptr<IoEngine> make_cufile_engine(const EngineOptions& options, const CuFileOptions& cufile) {
  return std::make_unique<CuFileEngine>(options, cufile.library, cufile.enter_thread);
}

}  // namespace gsnake::io
