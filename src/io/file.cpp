#include "io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/direct_io.h"
#include "io/directories.h"
#include "io/durable.h"
#include "io/interrupted.h"

namespace gsnake::io {
namespace {

using core::errno_code;
using core::throw_storage;

constexpr const char* kMakeRoom = "free some space or choose another path";

std::uint64_t regular_file_bytes(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_storage("look at", path, errno_code(), "check the drive");
  if (!S_ISREG(status.st_mode)) throw_storage("use", path, "it is not a regular file", "choose another path");
  return static_cast<std::uint64_t>(status.st_size);
}

[[noreturn]] void throw_full(const std::string& path, std::uint64_t need_bytes, std::uint64_t available_bytes, std::error_code code) {
  const std::string operation =
      fmt::format("preallocate {} (free: {}) for", core::format_bytes(need_bytes), core::format_bytes(available_bytes));
  throw_storage(operation, path, code, kMakeRoom);
}

// A process over its file size limit is killed by SIGXFSZ before it sees an error, unless it looks first.
void check_size_limit(const std::string& path, std::uint64_t size_bytes) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size_bytes <= limit.rlim_cur) return;
  const std::string operation =
      fmt::format("preallocate {} (limit: {}) for", core::format_bytes(size_bytes), core::format_bytes(limit.rlim_cur));
  throw_storage(operation, path, errno_code(EFBIG), "raise the file size limit (ulimit -f)");
}

// Returns an errno, or 0.
int write_blocks(int fd, off_t length) noexcept {
  const int result = retry_interrupted([&] {
    errno = ::posix_fallocate(fd, 0, length);
    return errno == 0 ? 0 : -1;
  });
  return result == 0 ? 0 : errno;
}

}  // namespace

// Looks at the free space first: fallocate would take all of a shared drive before it fails.
void preallocate(int fd, const std::string& path, std::uint64_t size_bytes) {
  if (size_bytes == 0) return;
  check_size_limit(path, size_bytes);
  const std::uint64_t available_bytes = free_bytes(path);
  if (size_bytes > available_bytes) throw_full(path, size_bytes, available_bytes, errno_code(ENOSPC));
  const auto length = static_cast<off_t>(size_bytes);
  int error = retry_interrupted([&] { return ::fallocate(fd, 0, 0, length); }) == 0 ? 0 : errno;
  // glibc then writes to every block instead: slow, but as safe.
  if (error == EOPNOTSUPP || error == ENOSYS) error = write_blocks(fd, length);
  if (error == ENOSPC || error == EDQUOT) throw_full(path, size_bytes, available_bytes, errno_code(error));
  if (error != 0)
    throw_storage(fmt::format("preallocate {} for", core::format_bytes(size_bytes)), path, errno_code(error), "choose another path");
}

File File::create(const std::string& path, std::uint64_t size_bytes, DirectIo direct) {
  File file;
  file.fd_ = core::UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.fd_) throw_storage("create", path, errno_code(), "check that the folder is writable and holds no file of that name");
  const int fd = file.fd_.get();
  try {
    preallocate(fd, path, size_bytes);
    file.path_ = path;
    file.size_bytes_ = size_bytes;
    file.decide_direct(direct, ProbeWrites::allowed);
  } catch (...) {
    static_cast<void>(::unlink(path.c_str()));
    throw;
  }
  return file;
}

File File::open_existing(const std::string& path, DirectIo direct, Access access) {
  File file;
  file.fd_ = core::UniqueFd(::open(path.c_str(), (access == Access::read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!file.fd_) throw_storage("open", path, errno_code(), "check that it exists and that it may be read and written");
  file.path_ = path;
  file.size_bytes_ = regular_file_bytes(file.fd_.get(), path);
  file.decide_direct(direct, ProbeWrites::forbidden);
  return file;
}

void File::decide_direct(DirectIo direct, ProbeWrites writes) {
  if (direct == DirectIo::off) {
    buffered_reason_ = "asked for";
    return;
  }
  DirectIoProbe probe = probe_direct_io(fd_.get(), size_bytes_, writes);
  direct_ = probe.direct;
  alignment_ = probe.alignment;
  buffered_reason_ = std::move(probe.reason);
}

void File::sync_data() const { io::sync_data(kernel_sync(), fd_.get(), path_); }

}  // namespace gsnake::io
