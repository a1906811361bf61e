// What is asked of the kernel, counted.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>

#include "io/durable.h"

namespace gsnake::store::testing {

// The kernel's calls, counted by what they are made on.
class CountingSync final : public io::SyncOps {
 public:
  struct Counts {
    int file_syncs = 0;
    int folder_syncs = 0;
    int creations = 0;
    int names = 0;  // link, rename, unlink of what was there
    std::uint64_t bytes = 0;
  };
  int open(const char* path, int flags, mode_t mode) noexcept override {
    const bool existed = ::access(path, F_OK) == 0;
    const int fd = kernel_.open(path, flags, mode);
    count([&] { counts_.creations += fd >= 0 && !existed ? 1 : 0; });
    return fd;
  }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override {
    const ssize_t written = kernel_.write(fd, data, size);
    count([&] { counts_.bytes += static_cast<std::uint64_t>(std::max<ssize_t>(0, written)); });
    return written;
  }
  int ftruncate(int fd, off_t size) noexcept override { return kernel_.ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return synced(fd), kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return synced(fd), kernel_.fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return kernel_.allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return named(kernel_.link(from, to)); }
  int rename(const char* from, const char* to) noexcept override { return named(kernel_.rename(from, to)); }
  int unlink(const char* path) noexcept override { return named(kernel_.unlink(path)); }

  // Since the last call.
  Counts take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(counts_, {});
  }

 private:
  template <typename Change>
  void count(const Change& change) {
    const std::lock_guard guard(mutex_);
    change();
  }
  int named(int result) {
    count([&] { counts_.names += result == 0 ? 1 : 0; });
    return result;
  }
  void synced(int fd) {
    struct stat status {};
    const bool folder = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    count([&] { ++(folder ? counts_.folder_syncs : counts_.file_syncs); });
  }

  io::SyncOps& kernel_ = io::kernel_sync();
  std::mutex mutex_;
  Counts counts_;
};

}  // namespace gsnake::store::testing
