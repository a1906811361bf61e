#include "io/durable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "io/interrupted.h"
#include "io/write_all.h"

namespace gsnake::io {
namespace {

constexpr const char* kMakeRoom = "free some space there or look at the drive";
constexpr const char* kLookAtFolder = "check that its folder still exists and is writable";

class KernelSync final : public SyncOps {
 public:
  int open(const char* path, int flags, mode_t mode) noexcept override { return ::open(path, flags, mode); }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override { return ::write(fd, data, size); }
  int ftruncate(int fd, off_t size) noexcept override { return ::ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return ::fsync(fd); }
  int fdatasync(int fd) noexcept override { return ::fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override {
    errno = ::posix_fallocate(fd, offset, size);
    return errno == 0 ? 0 : -1;
  }
  int link(const char* from, const char* to) noexcept override { return ::link(from, to); }
  int rename(const char* from, const char* to) noexcept override { return ::rename(from, to); }
  int unlink(const char* path) noexcept override { return ::unlink(path); }
};

void write_bytes(SyncOps& sync, int fd, const std::string& path, std::span<const std::byte> bytes) {
  const auto write = [&](std::span<const std::byte> rest, std::size_t) { return sync.write(fd, rest.data(), rest.size()); };
  if (const std::error_code error = write_all(bytes, write)) core::throw_storage("write", path, error, kMakeRoom);
}

core::UniqueFd open_file(SyncOps& sync, const std::string& path, int flags) {
  return core::UniqueFd(retry_interrupted([&] { return sync.open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0600); }));
}

core::UniqueFd create_file(SyncOps& sync, const std::string& path) {
  core::UniqueFd fd = open_file(sync, path, O_CREAT | O_EXCL);
  if (!fd) core::throw_storage("create", path, core::errno_code(), kLookAtFolder);
  return fd;
}

void cut(SyncOps& sync, int fd, const std::string& path, std::size_t bytes) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) core::throw_storage("look at", path, core::errno_code(), "look at the drive");
  if (status.st_size <= static_cast<off_t>(bytes)) return;
  if (retry_interrupted([&] { return sync.ftruncate(fd, static_cast<off_t>(bytes)); }) != 0) {
    core::throw_storage("cut", path, core::errno_code(), "look at the drive");
  }
}

}  // namespace

SyncOps& kernel_sync() noexcept {
  static KernelSync kernel;
  return kernel;
}

void sync_data(SyncOps& sync, int fd, const std::string& path) {
  if (retry_interrupted([&] { return sync.fdatasync(fd); }) != 0) {
    core::throw_storage("sync", path, core::errno_code(), "look at the drive; what was written last may be lost");
  }
}

void write_at(int fd, const std::string& path, std::span<const std::byte> bytes, std::uint64_t offset) {
  const auto write = [&](std::span<const std::byte> rest, std::size_t done) {
    return ::pwrite(fd, rest.data(), rest.size(), static_cast<off_t>(offset + done));
  };
  if (const std::error_code error = write_all(bytes, write)) {
    core::throw_storage(fmt::format("write {} B at offset {} of", bytes.size(), offset), path, error, "free space, or look at the drive");
  }
}

void sync_directory(SyncOps& sync, const std::string& directory) {
  const core::UniqueFd fd(retry_interrupted([&] { return sync.open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); }));
  if (!fd) core::throw_storage("open the folder", directory, core::errno_code(), kLookAtFolder);
  if (retry_interrupted([&] { return sync.fsync(fd.get()); }) != 0) {
    core::throw_storage("sync the folder", directory, core::errno_code(), "look at the drive");
  }
}

void remove_file(SyncOps& sync, const std::string& path) {
  if (sync.unlink(path.c_str()) != 0 && errno != ENOENT) {
    core::throw_storage("remove", path, core::errno_code(), "check its folder's permissions");
  }
}

// Under a new inode: what a kill or a power cut left under this name may be the inode of a file that counts.
void write_file(SyncOps& sync, const std::string& path, std::span<const std::byte> bytes) {
  remove_file(sync, path);
  const core::UniqueFd fd = create_file(sync, path);
  write_bytes(sync, fd.get(), path, bytes);
  sync_data(sync, fd.get(), path);
}

bool overwrite_file(SyncOps& sync, const std::string& path, std::span<const std::byte> bytes) {
  core::UniqueFd fd = open_file(sync, path, 0);
  if (!fd && errno != ENOENT) core::throw_storage("open", path, core::errno_code(), kLookAtFolder);
  const bool created = !fd;
  if (created) fd = create_file(sync, path);
  write_bytes(sync, fd.get(), path, bytes);
  cut(sync, fd.get(), path, bytes.size());
  sync_data(sync, fd.get(), path);
  return created;
}

bool is_blank(std::string_view bytes) noexcept {
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

std::optional<std::string> read_whole_file(const std::string& path) {
  const core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) core::throw_storage("open", path, core::errno_code(), "check its permissions");
  std::string text;
  std::array<char, 65536> block{};
  for (;;) {
    const ssize_t count = retry_interrupted([&] { return ::read(fd.get(), block.data(), block.size()); });
    if (count < 0) core::throw_storage("read", path, core::errno_code(), "look at the drive");
    if (count == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace gsnake::io
