// nf4's double quantisation: a block's absmax in 8 bits. Private to this module.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gsnake::quant {

inline constexpr std::size_t kSecondBlock = 256;  // blocks that share a second-level scale

// The mean, summed in double precision in order.
float mean_of(std::span<const float> absmax);

// At most kSecondBlock of them: the codes of absmax - offset; returns the greatest magnitude of it.
float quantise_absmax(std::span<const float> absmax, float offset, std::uint8_t* codes);

// The scales of blocks [first, first + out.size()) by a packed tensor's two sections.
void nf4_scales(const std::byte* codes, const std::byte* second, std::uint64_t first, std::span<float> out);

// The last block, where it is shorter than kBlock: codes of ceil(values.size() / 2) bytes; returns its absmax. bitsandbytes divides here,
// by an absmax of at least 1e-38, where for whole blocks it multiplies by the reciprocal.
float pack_nf4_rest(std::span<const float> values, std::byte* codes);

// How many of the bounds are below the value.
template <class Bounds>
constexpr std::uint8_t code_by(const Bounds& bounds, float value) {
  std::uint8_t code = 0;
  for (const float bound : bounds) code = static_cast<std::uint8_t>(code + (bound < value ? 1 : 0));
  return code;
}

}  // namespace gsnake::quant
