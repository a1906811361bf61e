// One big block of memory, cut into regions once.
#pragma once

#include <cstddef>

namespace gsnake::memory {

// Gives offsets into a block, whatever tier it is on; the block starts on a multiple of 4096 bytes (device/device.h allocates it). Regions are
// carved while a run is set up and never freed one by one. Not thread-safe.
class Arena {
 public:
  explicit Arena(std::size_t bytes) noexcept : bytes_(bytes) {}

  // Where the next `bytes` bytes begin, a multiple of `alignment`, a power of two up to 4096. Aborts with a message when the block is too
  // small: its size was added up wrong, a bug of ours.
  std::size_t carve(std::size_t bytes, std::size_t alignment = 4096);

  [[nodiscard]] std::size_t used_bytes() const noexcept { return used_bytes_; }  // padding included
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t bytes_;
  std::size_t used_bytes_ = 0;
};

}  // namespace gsnake::memory
