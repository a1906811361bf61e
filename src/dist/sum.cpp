#include "dist/sum.h"

#include <algorithm>

namespace gsnake::dist {
namespace {

constexpr std::size_t kBlock = 4096;  // floats: what is added up stays in the nearest cache

void add_block(std::span<const float* const> parts, std::size_t first, float* __restrict sum, std::size_t count) {
  std::copy_n(parts.front() + first, count, sum);
  for (const float* part : parts.subspan(1)) {
    const float* __restrict from = part + first;
    for (std::size_t i = 0; i < count; ++i) sum[i] += from[i];
  }
}

}  // namespace

void add_in_order(std::span<const float* const> parts, float* sum, std::size_t count) {
  for (std::size_t first = 0; first < count; first += kBlock) add_block(parts, first, sum + first, std::min(kBlock, count - first));
}

}  // namespace gsnake::dist
