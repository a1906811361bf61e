// A pseudo-random order of 0..size-1 that needs no memory for it.
#pragma once

#include <array>
#include <cstdint>

namespace gsnake::data {

// Maps each index below `size` to another one, each exactly once, in an order that (seed, epoch) determines on every machine.
// A Feistel network (Luby and Rackoff, 1988) permutes the smallest power of four that holds `size`; what falls outside is sent through
// again until it lands inside ("cycle walking", Black and Rogaway, 2002), fewer than four times on average. Immutable, safe from any
// thread.
class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch);  // 1 <= size <= 2^62

  [[nodiscard]] std::uint64_t operator()(std::uint64_t index) const;  // index < size

 private:
  [[nodiscard]] std::uint64_t permute_domain(std::uint64_t value) const;

  std::uint64_t size_;
  unsigned half_bits_;
  std::array<std::uint64_t, 8> round_keys_{};
};

}  // namespace gsnake::data
