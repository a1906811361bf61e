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
// Immutable; nothing allocates after construction.
class StripedVolume {
 public:
  // `weights`: one positive number per path, taken in sixteenths of the largest (at least one). Deterministic: the same weights give the
  // same map on every machine. Throws Error(usage) for none, for a weight that is not a positive number.
  explicit StripedVolume(const std::vector<double>& weights);
  // Bytes that `path` needs for a volume of that size: its last piece ends there, so the paths' sizes add up to volume_bytes.
  [[nodiscard]] std::uint64_t file_bytes(int path, std::uint64_t volume_bytes) const;
  // The longest piece that starts at `offset` and lies in one file without a gap, of at most `bytes` (> 0). Its data_offset is 0.
  [[nodiscard]] Piece piece_at(std::uint64_t offset, std::uint64_t bytes) const;
  // Pieces of [offset, offset + bytes), in order of data_offset, adjacent pieces of one file merged where data is adjacent too. Returns
  // how many; `out` holds at least max_pieces(bytes).
  std::size_t map(std::uint64_t offset, std::uint64_t bytes, std::span<Piece> out) const;
  [[nodiscard]] std::size_t max_pieces(std::uint64_t bytes) const;
  [[nodiscard]] int paths() const noexcept { return static_cast<int>(counts_.size()); }
  // The stripes of each path in a period: the shares that the weights came to.
  [[nodiscard]] const std::vector<std::uint64_t>& counts() const noexcept { return counts_; }

 private:
  [[nodiscard]] int path_of(std::uint64_t stripe) const;
  [[nodiscard]] std::uint64_t file_stripe(std::uint64_t stripe) const;

  std::vector<int> pattern_;           // path of each stripe of a period
  std::vector<std::uint64_t> ranks_;   // how many stripes of the same path come before it in the period
  std::vector<std::uint64_t> counts_;  // stripes of each path in a period
};

}  // namespace gsnake::store
