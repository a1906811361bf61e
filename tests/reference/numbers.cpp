#include "reference/numbers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace gsnake::reference {

std::uint16_t compute_weight_bf16(float master) {
  // The sign is apart from the magnitude, so that half a unit more rounds ties away from zero on both sides.
  return static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(master) + 0x8000U) >> 16U);
}

float nearest_even_bf16(float value) {
  if (std::isnan(value)) return std::numeric_limits<float>::quiet_NaN();
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t kept = bits & 0xFFFF0000U;
  const std::uint32_t rest = bits & 0xFFFFU;
  const bool is_odd = ((bits >> 16U) & 1U) != 0;
  const bool rounds_up = rest > 0x8000U || (rest == 0x8000U && is_odd);
  return std::bit_cast<float>(rounds_up ? kept + 0x10000U : kept);
}

void add_squares(std::span<const float> gradient, double& sum) {
  constexpr std::size_t kBlock = 2048;
  for (std::size_t first = 0; first < gradient.size(); first += kBlock) {
    std::array<double, 16> lanes{};
    const std::size_t end = std::min(first + kBlock, gradient.size());
    for (std::size_t i = first; i < end; ++i)
      lanes[(i - first) % 16] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    for (std::size_t half = 8; half > 0; half /= 2) {
      for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    sum += lanes[0];
  }
}

}  // namespace gsnake::reference
