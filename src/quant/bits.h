// Numbers in memory of any alignment, and their bits. Private to this module.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gsnake::quant {

static_assert(std::endian::native == std::endian::little, "packed numbers are used as they lie in memory");

inline constexpr std::uint32_t kMagnitude = 0x7fffffff;  // all bits but the sign; as integers they are ordered as the floats are
inline constexpr std::uint32_t kInfinity = 0x7f800000;
inline constexpr std::uint32_t kInfiniteBf16 = 0x7f7f8000;  // the smallest magnitude that rounds to an infinite bf16

template <class T>
T load(const std::byte* array, std::size_t i = 0) {
  T value;
  std::memcpy(&value, array + i * sizeof(T), sizeof(T));
  return value;
}

// To nearest, ties to even; a NaN may become anything.
constexpr std::uint16_t round_bf16(std::uint32_t bits) {
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

// 2^(exponent - 127), as E8M0 has it.
constexpr float power_of_e8m0(std::uint8_t exponent) {
  const std::uint32_t bits = exponent == 0 ? 0x00400000U : exponent == 255 ? 0x7fc00000U : static_cast<std::uint32_t>(exponent) << 23U;
  return std::bit_cast<float>(bits);
}

// The scale of a block with this absmax (finite), as E8M0: 2^(floor(log2 absmax) - 2).
constexpr std::uint8_t e8m0_of(float absmax) {
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(absmax) >> 23U;  // a denormal's is 0, and below 2^-125 the scale is the least
  return static_cast<std::uint8_t>(exponent > 2 ? exponent - 2 : 0);
}

}  // namespace gsnake::quant
