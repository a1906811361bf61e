// Random numbers for tests of numerics.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace gsnake::test {

inline std::vector<float> normal_values(std::size_t size, float scale, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace gsnake::test
