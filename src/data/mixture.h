// Draws from several sources in given shares, in an order that can be resumed anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/permutation.h"

namespace gsnake::data {

// Draws come in blocks: in each block every source has its share of draws, in an order of the block's own by (seed, block). A block is the
// shortest of at most 65536 draws that gives the shares to a billionth; where none does, they are rounded to a 65536th, and to one draw at least.
// Nothing depends on the draws before. Not safe from several threads at once.
class Mixture {
 public:
  // `weights` are above 0; their sum counts as 1. One source needs no blocks.
  Mixture(std::span<const double> weights, std::uint64_t seed);

  struct Draw {
    std::size_t source = 0;
    std::uint64_t index = 0;  // of the source's own draws
  };
  [[nodiscard]] Draw operator()(std::uint64_t draw);

  [[nodiscard]] std::uint64_t block() const noexcept { return starts_.back(); }  // draws
  [[nodiscard]] std::uint64_t quota(std::size_t source) const { return starts_[source + 1] - starts_[source]; }

 private:
  std::uint64_t seed_;
  std::vector<std::uint64_t> starts_;  // of each source's draws in a block before it is permuted, and the block's end
  std::uint64_t current_ = 0;          // whose order permutation_ is
  Permutation permutation_;
};

}  // namespace gsnake::data
