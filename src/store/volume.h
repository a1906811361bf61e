// A linear address space over several files, striped in proportion to weights.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnake::store {

inline constexpr std::uint64_t kStripeBytes = 256 * 1024;

struct Piece {
  int path = 0;
  std::uint64_t file_offset = 0;
  std::uint64_t data_offset = 0;  // from the start of the range
  std::uint64_t bytes = 0;
};

// The stripes of one period go round the paths so that each path gets its share evenly spread; a path's stripes lie densely in its file.
class StripedVolume {
 public:
  // `weights`: one positive number per path. Deterministic: the same weights give the same map on every machine.
  explicit StripedVolume(const std::vector<double>& weights);
  [[nodiscard]] std::uint64_t file_bytes(int path, std::uint64_t volume_bytes) const;  // that `path` needs for a volume of that size
  // Pieces of [offset, offset + bytes), in order of data_offset, adjacent pieces of one file merged where data is adjacent too. Returns
  // how many; `out` holds at least max_pieces(bytes).
  std::size_t map(std::uint64_t offset, std::uint64_t bytes, std::span<Piece> out) const;
  [[nodiscard]] std::size_t max_pieces(std::uint64_t bytes) const;
  [[nodiscard]] int paths() const noexcept { return static_cast<int>(counts_.size()); }

 private:
  std::vector<int> pattern_;              // path of each stripe of a period
  std::vector<std::uint64_t> ranks_;      // how many stripes of the same path come before it in the period
  std::vector<std::uint64_t> counts_;     // stripes of each path in a period
};

}  // namespace gsnake::store
