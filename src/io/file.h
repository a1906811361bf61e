// A file opened for training I/O: O_DIRECT where the file system accepts it, probed by a real transfer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/unique_fd.h"
#include "io/direct_io.h"

namespace gsnake::io {

enum class DirectIo : std::uint8_t { automatic, off };
enum class Access : std::uint8_t { read_write, read_only };

// Move-only owner of an open file. Thread-safe for I/O.
class File {
 public:
  // Creates `path` (mode 0600), where nothing of that name is yet, and preallocates `size_bytes` with fallocate, so that a full disk is found
  // here: throws Error(storage) with path, need and free, and removes what it made.
  static File create(const std::string& path, std::uint64_t size_bytes, DirectIo direct);
  static File open_existing(const std::string& path, DirectIo direct, Access access = Access::read_write);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  // Of offset, length and memory address, in bytes: statx(STATX_DIOALIGN) where the kernel tells, else 4096; 1 when not direct.
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }
  [[nodiscard]] bool direct() const noexcept { return direct_; }
  // Why it is not direct ("open: Invalid argument", "probe read: ..."); empty when it is.
  [[nodiscard]] const std::string& buffered_reason() const noexcept { return buffered_reason_; }

  void sync_data() const;  // fdatasync; throws Error(storage)

 private:
  void decide_direct(DirectIo direct, ProbeWrites writes);

  core::UniqueFd fd_;
  std::string path_;
  std::uint64_t size_bytes_ = 0;
  std::size_t alignment_ = 1;
  bool direct_ = false;
  std::string buffered_reason_;
};

// Takes the blocks of an empty file, having looked at the free space first. Throws Error(storage) with path, need and free.
void preallocate(int fd, const std::string& path, std::uint64_t size_bytes);

}  // namespace gsnake::io
