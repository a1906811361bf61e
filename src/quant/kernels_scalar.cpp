// The formats in plain C++: the reference.
#include <algorithm>
#include <cmath>

#include "quant/bits.h"
#include "quant/codes.h"
#include "quant/kernels.h"
#include "quant/nf4.h"

namespace gsnake::quant {
namespace {

void put(float value, float& out) { out = value; }
void put(float value, std::uint16_t& out) { out = round_bf16(std::bit_cast<std::uint32_t>(value)); }

template <class Out>
void unpack_int8(const std::byte* codes, const float* scales, std::size_t blocks, Out* out) {
  for (std::size_t i = 0; i < blocks * kBlock; ++i) put(static_cast<float>(load<std::int8_t>(codes, i)) * scales[i / kBlock], out[i]);
}

template <class Out>
void unpack_nf4(const std::byte* codes, const float* scales, std::size_t blocks, Out* out) {
  for (std::size_t i = 0; i < blocks * kBlock; i += 2) {
    const auto pair = static_cast<std::uint8_t>(codes[i / 2]);
    put(kNf4[pair >> 4] * scales[i / kBlock], out[i]);
    put(kNf4[pair & 15] * scales[i / kBlock], out[i + 1]);
  }
}

template <class Out>
void unpack_mxfp4(const std::byte* codes, const float* scales, std::size_t blocks, Out* out) {
  for (std::size_t i = 0; i < blocks * kMxBlock; i += 2) {
    const auto pair = static_cast<std::uint8_t>(codes[i / 2]);
    put(kE2m1[pair & 15] * scales[i / kMxBlock], out[i]);
    put(kE2m1[pair >> 4] * scales[i / kMxBlock], out[i + 1]);
  }
}

void widen_bf16s(const std::byte* bf16, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(bf16, i)) << 16U);
}

void round_bf16s(const std::byte* fp32, std::size_t count, std::uint16_t* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = round_bf16(load<std::uint32_t>(fp32, i));
}

std::uint32_t greatest(const float* values, std::size_t count) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, std::bit_cast<std::uint32_t>(values[i]) & kMagnitude);
  return most;
}

void pack_int8(const float* values, std::size_t blocks, std::byte* codes, float* scales) {
  for (std::size_t block = 0; block < blocks; ++block, values += kBlock, codes += kBlock) {
    const float scale = std::bit_cast<float>(greatest(values, kBlock)) / 127.0F;
    scales[block] = scale;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const float quotient = scale == 0.0F ? 0.0F : std::nearbyint(values[i] / scale);
      codes[i] = static_cast<std::byte>(static_cast<std::int8_t>(std::clamp(quotient, -127.0F, 127.0F)));
    }
  }
}

void pack_nf4(const float* values, std::size_t blocks, std::byte* codes, float* absmax) {
  for (std::size_t block = 0; block < blocks; ++block, values += kBlock, codes += kBlock / 2) {
    absmax[block] = std::bit_cast<float>(greatest(values, kBlock));
    const float reciprocal = 1.0F / std::max(absmax[block], kLeastAbsmax);
    for (std::size_t i = 0; i < kBlock; i += 2) {
      const std::uint8_t first = code_by(kNf4Bounds, values[i] * reciprocal);
      codes[i / 2] = static_cast<std::byte>(first << 4 | code_by(kNf4Bounds, values[i + 1] * reciprocal));
    }
  }
}

std::uint8_t e2m1_of(float value) {
  return static_cast<std::uint8_t>(code_by(kE2m1Bounds, std::fabs(value)) | (std::signbit(value) ? 8 : 0));
}

void pack_mxfp4(const float* values, std::size_t blocks, std::byte* codes, std::byte* scales) {
  for (std::size_t block = 0; block < blocks; ++block, values += kMxBlock, codes += kMxBlock / 2) {
    const std::uint8_t exponent = e8m0_of(std::bit_cast<float>(greatest(values, kMxBlock)));
    scales[block] = static_cast<std::byte>(exponent);
    const float reciprocal = power_of_e8m0(static_cast<std::uint8_t>(254 - exponent));
    for (std::size_t i = 0; i < kMxBlock; i += 2) {
      codes[i / 2] = static_cast<std::byte>(e2m1_of(values[i] * reciprocal) | e2m1_of(values[i + 1] * reciprocal) << 4);
    }
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels kKernels{"scalar",
                                    {unpack_int8<float>, unpack_nf4<float>, unpack_mxfp4<float>},
                                    {unpack_int8<std::uint16_t>, unpack_nf4<std::uint16_t>, unpack_mxfp4<std::uint16_t>},
                                    widen_bf16s,
                                    round_bf16s,
                                    greatest,
                                    pack_int8,
                                    pack_nf4,
                                    pack_mxfp4};
  return kKernels;
}

}  // namespace gsnake::quant
