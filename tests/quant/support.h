// Tensors, packing into memory, and the formats once more: element by element, from their definitions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "normal_values.h"
#include "quant/format.h"
#include "quant/target.h"

namespace gsnake::quant::test {

inline constexpr std::array kFormats{Format::fp32, Format::bf16, Format::int8, Format::nf4, Format::mxfp4};
inline constexpr std::array<std::uint64_t, 10> kSizes{1, 31, 32, 33, 63, 64, 65, 16383, 16384, 16385};

// Every target that this CPU runs, one after another; the dispatch is restored at the end.
class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { force_target(GetParam()); }
  void TearDown() override { force_target(""); }
};

inline std::string target_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

// All of a tensor's packed bytes; fails where the sink did not get each of them once.
inline std::vector<std::byte> pack(Format format, std::span<const float> values,
                                   std::size_t piece = std::numeric_limits<std::size_t>::max(), unsigned threads = 1) {
  std::vector<std::byte> packed(packed_bytes(format, values.size()));
  std::vector<int> times(packed.size());
  Packer packer(format, values.size(), [&](std::uint64_t offset, std::span<const std::byte> bytes) {
    ASSERT_LE(offset + bytes.size(), packed.size());
    std::ranges::copy(bytes, packed.begin() + static_cast<std::ptrdiff_t>(offset));
    for (std::size_t i = 0; i < bytes.size(); ++i) ++times[offset + i];
  }, threads);
  for (std::size_t at = 0; at < values.size(); at += std::min(piece, values.size() - at)) {
    packer.add(values.subspan(at, std::min(piece, values.size() - at)));
  }
  packer.finish();
  EXPECT_TRUE(std::ranges::all_of(times, [](int n) { return n == 1; })) << name_of(format) << ", " << values.size() << " elements";
  return packed;
}

template <class Out>
std::vector<Out> unpack(Format format, std::span<const std::byte> packed, std::uint64_t elements) {
  std::vector<Out> out(elements);
  dequantise(format, packed.data(), elements, 0, std::span(out));
  return out;
}

using gsnake::test::normal_values;

// Finite values of every exponent, ordinary ones, zeros of both signs, by blocks; none that a bf16 does not hold.
inline std::vector<float> adversarial_values(std::size_t size, std::uint32_t seed) {
  using Limits = std::numeric_limits<float>;
  constexpr std::array kSpecial{0.0F, -0.0F, Limits::denorm_min(), -Limits::denorm_min(), Limits::min(), 0x1.fep127F, -0x1.fep127F,
                                1.0F, 1e-38F};
  std::mt19937 random(seed);
  std::vector<float> values(size);
  for (std::size_t first = 0; first < size; first += 32) {
    const auto kind = random() % 6;
    const auto exponent = static_cast<int>(random() % 270) - 145;
    for (std::size_t i = first; i < std::min(first + 32, size); ++i) {
      const auto bits = static_cast<std::uint32_t>(random());
      const float any = std::bit_cast<float>((bits & 0x7fffffffU) < 0x7f7f8000U ? bits : bits & 0xbfffffffU);
      const float fraction = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-31F;
      values[i] = kind == 0   ? any
                  : kind == 1 ? kSpecial[bits % kSpecial.size()]
                  : kind == 2 ? 0.0F
                              : std::ldexp(fraction, kind == 3 ? exponent : -5);
    }
  }
  return values;
}

template <class T>
T number_at(std::span<const std::byte> bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// The bf16 nearest to a value, the even one of two.
inline std::uint16_t nearest_bf16(float value) {
  const auto lower = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16U);  // towards zero
  const auto upper = static_cast<std::uint16_t>(lower + 1);
  const auto meaning = [](std::uint16_t bits) {
    const float wide = std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
    return std::isinf(wide) ? std::copysign(0x1p128, static_cast<double>(wide)) : static_cast<double>(wide);  // as if exponents went on
  };
  const double down = std::fabs(value - meaning(lower));
  const double up = std::fabs(meaning(upper) - value);
  return down < up || (down == up && lower % 2 == 0) ? lower : upper;
}

}  // namespace gsnake::quant::test
