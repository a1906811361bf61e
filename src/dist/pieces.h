// Parts are added up piece by piece, so that what is kept beside them does not grow with them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gsnake::dist {

inline std::uint64_t piece_of(std::uint64_t part) {
  constexpr std::uint64_t kLargestPiece = 4ULL << 20;
  return std::min(part, kLargestPiece);
}

}  // namespace gsnake::dist
