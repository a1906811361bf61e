// One big block of memory, cut into regions once.
#pragma once

#include <cstddef>

namespace gsnake::memory {

// A view: the block's owner (device/device.h allocates it) outlives the arena and all regions. Regions are carved while a run is set up and
// never freed one by one. Not thread-safe.
class Arena {
 public:
  // `data` may be null when `bytes` is 0.
  Arena(std::byte* data, std::size_t bytes) noexcept : data_(data), bytes_(bytes) {}

  // `bytes` uninitialised bytes whose address is a multiple of `alignment`, a power of two. A region of 0 bytes has an address too. Aborts
  // with a message when the block is too small: its size was added up wrong, a bug of ours.
  std::byte* carve(std::size_t bytes, std::size_t alignment = 4096);

  [[nodiscard]] std::size_t used_bytes() const noexcept { return used_bytes_; }  // padding included
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
  std::size_t used_bytes_ = 0;
};

}  // namespace gsnake::memory
