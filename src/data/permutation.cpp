#include "data/permutation.h"

#include <bit>

namespace gsnake::data {

namespace {

// SplitMix64's output function (Steele, Lea and Flood, 2014): every bit of the value bears on every bit of the result.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

Permutation::Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch)
    : size_(size), half_bits_(size <= 4 ? 1 : (static_cast<unsigned>(std::bit_width(size - 1)) + 1) / 2) {
  auto key = mix(mix(seed) + epoch);
  for (auto& round_key : round_keys_) round_key = key = mix(key);
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  do {
    index = permute_domain(index);
  } while (index >= size_);
  return index;
}

std::uint64_t Permutation::permute_domain(std::uint64_t value) const {
  const auto mask = (std::uint64_t{1} << half_bits_) - 1;
  auto left = value >> half_bits_;
  auto right = value & mask;
  for (const auto key : round_keys_) {
    const auto next = left ^ (mix(right ^ key) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

}  // namespace gsnake::data
