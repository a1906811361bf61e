#include "memory/arena.h"

#include <bit>
#include <cstdio>
#include <cstdlib>

namespace gsnake::memory {
namespace {

constexpr std::size_t kBlockAlignment = 4096;

}  // namespace

std::size_t Arena::carve(std::size_t bytes, std::size_t alignment) {
  if (!std::has_single_bit(alignment) || alignment > kBlockAlignment) {
    std::fprintf(stderr, "gsnake: arena alignment %zu is not a power of two up to %zu\n", alignment, kBlockAlignment);
    std::abort();
  }
  const std::size_t padding = (alignment - used_bytes_ % alignment) % alignment;
  const std::size_t left = bytes_ - used_bytes_;
  if (padding > left || bytes > left - padding) {
    std::fprintf(stderr, "gsnake: arena of %zu bytes, %zu used, can't give %zu bytes aligned to %zu\n", bytes_, used_bytes_, bytes,
                 alignment);
    std::abort();
  }
  const std::size_t region = used_bytes_ + padding;
  used_bytes_ = region + bytes;
  return region;
}

}  // namespace gsnake::memory
