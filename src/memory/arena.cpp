#include "memory/arena.h"

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace gsnake::memory {

std::byte* Arena::carve(std::size_t bytes, std::size_t alignment) {
  if (!std::has_single_bit(alignment)) {
    std::fprintf(stderr, "gsnake: arena alignment %zu is not a power of two\n", alignment);
    std::abort();
  }
  // Of the address, not of the offset: the block itself may be less aligned than the region asked for.
  const auto address = reinterpret_cast<std::uintptr_t>(data_) + used_bytes_;
  const std::size_t padding = (alignment - address % alignment) % alignment;
  const std::size_t left = bytes_ - used_bytes_;
  if (padding > left || bytes > left - padding) {
    std::fprintf(stderr, "gsnake: arena of %zu bytes, %zu used, can't give %zu bytes aligned to %zu\n", bytes_, used_bytes_, bytes,
                 alignment);
    std::abort();
  }
  std::byte* region = data_ + used_bytes_ + padding;
  used_bytes_ += padding + bytes;
  return region;
}

}  // namespace gsnake::memory
