// The system calls that make files durable, and what is made of them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace gsnake::io {

// A seam: tests kill a process between two of these calls, let them fail, and lose what was not synced. As the system calls of the same
// names: -1 and errno on failure. Called by several threads at once.
class SyncOps {
 public:
  virtual int open(const char* path, int flags, mode_t mode) noexcept = 0;
  virtual ssize_t write(int fd, const void* data, std::size_t size) noexcept = 0;
  virtual int ftruncate(int fd, off_t size) noexcept = 0;
  virtual int fsync(int fd) noexcept = 0;
  virtual int fdatasync(int fd) noexcept = 0;
  virtual int allocate(int fd, off_t offset, off_t size) noexcept = 0;  // posix_fallocate, but for how it fails
  virtual int link(const char* from, const char* to) noexcept = 0;
  virtual int rename(const char* from, const char* to) noexcept = 0;
  virtual int unlink(const char* path) noexcept = 0;

 protected:
  ~SyncOps() = default;
};

// The kernel's own.
SyncOps& kernel_sync() noexcept;

// All of these throw Error(storage) that names the path.
void sync_data(SyncOps& sync, int fd, const std::string& path);
// All of the bytes at that place of a file that is not direct.
void write_at(int fd, const std::string& path, std::span<const std::byte> bytes, std::uint64_t offset);
// The entries of the folder: after files were created, renamed or removed in it.
void sync_directory(SyncOps& sync, const std::string& directory);
void remove_file(SyncOps& sync, const std::string& path);  // absent is fine
// A file with these bytes, replaced if it is there; on its drive when this returns, but for its name. Mode 0600.
void write_file(SyncOps& sync, const std::string& path, std::span<const std::byte> bytes);
// As write_file(), in the blocks that the file has already, which spares the file system's journal; a reader may see it half written.
// Whether the file is a new one: then its name is not yet on the drive.
[[nodiscard]] bool overwrite_file(SyncOps& sync, const std::string& path, std::span<const std::byte> bytes);

// Zeros alone, at least one: what a power cut may leave of a file that was not synced, its size without its bytes.
[[nodiscard]] bool is_blank(std::string_view bytes) noexcept;

// Nothing where there is no such file.
[[nodiscard]] std::optional<std::string> read_whole_file(const std::string& path);

}  // namespace gsnake::io
