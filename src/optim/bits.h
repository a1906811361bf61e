// Conversions of one element on its bits, in plain C++: the reference for the SIMD loops. Private to this module.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "optim/formats.h"

namespace gsnake::optim {

inline constexpr std::uint32_t kMagnitude = 0x7fffffff;  // all bits but the sign; as integers they are ordered as the floats are, NaN last

// To nearest, ties away from zero: 16 bits of remainder then tell all masters of one bf16 apart (bf16 +- 0x8000 would be both ties to
// even).
constexpr std::uint16_t split_weight(std::uint32_t master) { return static_cast<std::uint16_t>((master + 0x8000U) >> 16U); }
// What the weight leaves over has the master's own lower half as its bits, because the weight's lower half is zero.
constexpr std::uint16_t split_remainder(std::uint32_t master) { return static_cast<std::uint16_t>(master); }
constexpr std::uint32_t join_bits(std::uint16_t weight, std::uint16_t remainder) {
  const auto extended = static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<std::int16_t>(remainder)));
  return (static_cast<std::uint32_t>(weight) << 16U) + extended;
}

// To nearest, ties to even; a NaN may become anything.
constexpr std::uint16_t round_bf16(std::uint32_t bits) {
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}
constexpr std::uint32_t widen_bf16(std::uint16_t bits) { return static_cast<std::uint32_t>(bits) << 16U; }

// To nearest, ties to even.
constexpr std::uint16_t round_fp16(std::uint32_t bits) {
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & kMagnitude;
  if (magnitude > 0x7f800000U) return sign | 0x7e00U;
  if (magnitude >= unstorable_magnitude(WeightFormat::fp16)) return sign | 0x7c00U;
  if (magnitude >= 0x38800000U) {  // normal: from 2^-14
    const std::uint32_t rebiased = magnitude - 0x38000000U;
    return static_cast<std::uint16_t>(sign | ((rebiased + 0xfffU + ((rebiased >> 13U) & 1U)) >> 13U));
  }
  // Denormal, in units of 2^-24: the significand shifted right, what falls out decides.
  const std::uint32_t shift = std::min(126U - (magnitude >> 23U), 31U);
  const std::uint32_t significand = (magnitude & 0x7fffffU) | (magnitude >= 0x800000U ? 0x800000U : 0U);
  const std::uint32_t kept = significand >> shift;
  const std::uint32_t rest = significand & ((1U << shift) - 1U);
  const std::uint32_t half = 1U << (shift - 1U);
  return static_cast<std::uint16_t>(sign | (kept + (rest > half || (rest == half && (kept & 1U) != 0) ? 1U : 0U)));
}

constexpr std::uint32_t widen_fp16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) return sign | 0x7f800000U | (magnitude & 0x3ffU) << 13U;
  if (magnitude >= 0x400U) return sign | ((magnitude << 13U) + 0x38000000U);
  return sign | std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24F);
}

}  // namespace gsnake::optim
