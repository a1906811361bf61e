// The values that codes stand for, and where the one ends and the next begins. Private to this module.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gsnake::quant {

// NormalFloat's values (Dettmers et al. 2023, appendix E).
inline constexpr std::array<float, 16> kNf4{-1.0F,
                                            -0.6961928009986877F,
                                            -0.5250730514526367F,
                                            -0.39491748809814453F,
                                            -0.28444138169288635F,
                                            -0.18477343022823334F,
                                            -0.09105003625154495F,
                                            0.0F,
                                            0.07958029955625534F,
                                            0.16093020141124725F,
                                            0.24611230194568634F,
                                            0.33791524171829224F,
                                            0.44070982933044434F,
                                            0.5626170039176941F,
                                            0.7229568362236023F,
                                            1.0F};
inline constexpr std::uint8_t kNf4Zero = 7;

// E2M1: a sign, two bits of exponent, one of mantissa.
inline constexpr std::array<float, 16> kE2m1{0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                             -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

// A value's code is the number of bounds below it.
constexpr std::array<float, 15> nf4_bounds() {
  std::array<float, 15> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = (kNf4[i] + kNf4[i + 1]) / 2.0F;
  return bounds;
}
inline constexpr std::array<float, 15> kNf4Bounds = nf4_bounds();

// Of magnitudes. A tie goes to the even code: where that is the upper one, the bound is the float before the middle.
constexpr std::array<float, 7> e2m1_bounds() {
  std::array<float, 7> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const float middle = (kE2m1[i] + kE2m1[i + 1]) / 2.0F;
    bounds[i] = i % 2 == 0 ? middle : std::bit_cast<float>(std::bit_cast<std::uint32_t>(middle) - 1U);
  }
  return bounds;
}
inline constexpr std::array<float, 7> kE2m1Bounds = e2m1_bounds();

// The dynamic map of 8 bits (Dettmers et al. 2022), ascending: of each decade from 1e-6 on, twice as many steps as of the one before. Bit
// for bit as bitsandbytes gets it from torch's linspace, whose k-th point is rounded once.
constexpr std::array<float, 256> dynamic_map() {
  constexpr std::array<float, 7> kDecades{1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  std::array<float, 256> map{};
  map[127] = 0.0F;
  map[255] = 1.0F;
  std::size_t at = 128;
  for (std::size_t decade = 0; decade < kDecades.size(); ++decade) {
    const std::size_t steps = std::size_t{1} << decade;
    const float width = (1.0F - 0.1F) / static_cast<float>(steps);
    const auto point = [&](std::size_t k) {
      return static_cast<float>(k < (steps + 1) / 2 ? static_cast<double>(0.1F) + static_cast<double>(width) * static_cast<double>(k)
                                                    : 1.0 - static_cast<double>(width) * static_cast<double>(steps - k));
    };
    for (std::size_t k = 0; k < steps; ++k, ++at) {
      map[at] = kDecades[decade] * ((point(k) + point(k + 1)) / 2.0F);
      map[254 - at] = -map[at];
    }
  }
  return map;
}
inline constexpr std::array<float, 256> kDynamicMap = dynamic_map();

}  // namespace gsnake::quant
