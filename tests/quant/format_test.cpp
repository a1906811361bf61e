// Packing, and reading back any range, beside the definitions in quant/format.h, element by element.
#include "quant/format.h"

#include "quant/support.h"

namespace gsnake::quant::test {
namespace {

constexpr std::array kNormalFloat{-1.0,
                                  -0.6961928009986877,
                                  -0.5250730514526367,
                                  -0.39491748809814453,
                                  -0.28444138169288635,
                                  -0.18477343022823334,
                                  -0.09105003625154495,
                                  0.0,
                                  0.07958029955625534,
                                  0.16093020141124725,
                                  0.24611230194568634,
                                  0.33791524171829224,
                                  0.44070982933044434,
                                  0.5626170039176941,
                                  0.7229568362236023,
                                  1.0};
constexpr std::array kFp4Magnitudes{0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};

std::uint64_t up(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }

// The positive half of the 8-bit map by its decades, in double precision; near enough to tell a wrong one.
double map_value(std::uint8_t code) {
  if (code == 255) return 1.0;
  if (code == 127) return 0.0;
  const int index = code > 127 ? code - 128 : 126 - code;
  const int decade = std::ilogb(index + 1);
  const int steps = 1 << decade;
  const double middle = 0.1 + 0.9 * (index + 1 - steps + 0.5) / steps;
  return std::pow(10.0, decade - 6) * middle * (code > 127 ? 1.0 : -1.0);
}

double absmax_of(std::span<const float> values, std::uint64_t element, std::uint64_t block) {
  const std::uint64_t first = element / block * block;
  double most = 0.0;
  for (std::uint64_t i = first; i < std::min<std::uint64_t>(first + block, values.size()); ++i)
    most = std::max(most, std::fabs(double{values[i]}));
  return most;
}

std::uint8_t nibble_of(std::span<const std::byte> packed, std::uint64_t element, bool high) {
  const auto pair = static_cast<std::uint8_t>(packed[element / 2]);
  return high ? pair >> 4 : pair & 15;
}

struct Nf4Scale {
  float scale;
  float greatest;  // of its group
};

Nf4Scale nf4_scale(std::span<const std::byte> packed, std::uint64_t elements, std::uint64_t block, float map_code_value) {
  const std::uint64_t blocks = (elements + 63) / 64;
  const std::uint64_t second = up((elements + 1) / 2) + up(blocks);
  const auto greatest = number_at<float>(packed, second + 4 + 4 * (block / 256));
  const volatile float product = map_code_value * greatest;  // rounded before the sum
  return {product + number_at<float>(packed, second), greatest};
}

float nearest_map_value(double value) {
  double best = 0.0;
  for (int code = 0; code < 256; ++code) {
    if (std::fabs(map_value(static_cast<std::uint8_t>(code)) - value) < std::fabs(best - value))
      best = map_value(static_cast<std::uint8_t>(code));
  }
  return static_cast<float>(best);
}

class Formats : public EveryTarget {};

TEST_P(Formats, Fp32AndBf16HoldTheElements) {
  const std::vector<float> values = adversarial_values(70001, 1);
  const auto fp32 = pack(Format::fp32, values);
  const auto bf16 = pack(Format::bf16, values);
  EXPECT_EQ(std::memcmp(fp32.data(), values.data(), values.size() * 4), 0);
  const auto wide = unpack<float>(Format::bf16, bf16, values.size());
  const auto narrow = unpack<std::uint16_t>(Format::fp32, fp32, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t expected = nearest_bf16(values[i]);
    ASSERT_EQ(number_at<std::uint16_t>(bf16, 2 * i), expected) << values[i];
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]), static_cast<std::uint32_t>(expected) << 16U);
    ASSERT_EQ(narrow[i], expected);
  }
  EXPECT_EQ(nearest_bf16(1.00390625F), 0x3f80);  // a tie, which goes to the even one
  EXPECT_EQ(nearest_bf16(1.01171875F), 0x3f82);
}

TEST_P(Formats, Int8RoundsTheQuotientByItsBlocksScale) {
  for (const std::uint64_t size : kSizes) {
    const std::vector<float> values = size < 100 ? normal_values(size, 0.02F, 3) : adversarial_values(size, 4);
    const auto packed = pack(Format::int8, values);
    ASSERT_EQ(packed.size(), up(size) + up((size + 63) / 64 * 4));
    const auto read = unpack<float>(Format::int8, packed, size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto absmax = static_cast<float>(absmax_of(values, i, 64));
      const auto scale = number_at<float>(packed, up(size) + i / 64 * 4);
      const auto q = number_at<std::int8_t>(packed, i);
      ASSERT_EQ(scale, absmax / 127.0F);
      const float quotient = scale == 0.0F ? 0.0F : values[i] / scale;
      const double expected = std::clamp(
          std::remainder(quotient, 1.0F) == 0.0F ? double{quotient} : quotient - std::remainder(double{quotient}, 1.0), -127.0, 127.0);
      ASSERT_EQ(q, expected) << i;
      ASSERT_EQ(read[i], static_cast<float>(q) * scale);
      ASSERT_LE(std::fabs(double{read[i]} - values[i]), absmax < 1e-36F ? absmax : absmax / 254.0 * 1.0001);
    }
  }
}

TEST_P(Formats, Int8TiesGoToEven) {
  std::vector<float> values(64);
  values[0] = 127.0F;
  for (std::size_t i = 1; i < 64; ++i) values[i] = static_cast<float>(i) - 31.5F;
  const auto read = unpack<float>(Format::int8, pack(Format::int8, values), 64);
  for (std::size_t i = 1; i < 64; ++i) EXPECT_EQ(read[i], 2.0F * std::floor((values[i] + 0.5F) / 2.0F)) << values[i];
}

TEST_P(Formats, Nf4TakesTheNearestCodeOfTheScaledElement) {
  for (const std::uint64_t size : kSizes) {
    const std::vector<float> values = normal_values(size, 0.02F, static_cast<std::uint32_t>(size));
    const auto packed = pack(Format::nf4, values);
    const std::uint64_t blocks = (size + 63) / 64;
    ASSERT_EQ(packed.size(), up((size + 1) / 2) + up(blocks) + up(4 + (blocks + 255) / 256 * 4));
    const auto read = unpack<float>(Format::nf4, packed, size);
    double sum = 0.0;
    for (std::uint64_t block = 0; block < blocks; ++block) sum += absmax_of(values, block * 64, 64);
    ASSERT_EQ(number_at<float>(packed, up((size + 1) / 2) + up(blocks)), static_cast<float>(sum / static_cast<double>(blocks)));
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto absmax = static_cast<float>(absmax_of(values, i, 64));
      const std::uint8_t code = nibble_of(packed, i, i % 2 == 0);
      for (const double other : kNormalFloat) {
        ASSERT_LE(std::fabs(values[i] / absmax - kNormalFloat[code]), std::fabs(values[i] / absmax - other) + 1e-6) << i;
      }
      const auto absmax_code = static_cast<std::uint8_t>(packed[up((size + 1) / 2) + i / 64]);
      const auto [scale, greatest] = nf4_scale(packed, size, i / 64, static_cast<float>(map_value(absmax_code)));
      ASSERT_NEAR(read[i], kNormalFloat[code] * scale, 1e-5F * absmax) << i;
      // The widest gap of the map is 0.9 / 64, and its codes are found to 1 / 65535.
      ASSERT_LE(std::fabs(scale - absmax), greatest * (0.45 / 64 + 4e-5) + 1e-6 * absmax);
      ASSERT_LE(std::fabs(read[i] - values[i]), absmax * (1.0 - 0.6961928) / 2 * 1.00001 + std::fabs(scale - absmax) * 1.00001);
    }
  }
}

TEST_P(Formats, Nf4KeepsTheGreatestDeviationOfEachGroupOf256Blocks) {
  const std::uint64_t size = 64 * 600 + 11;
  const std::vector<float> values = normal_values(size, 1.0F, 9);
  const auto packed = pack(Format::nf4, values, 1000);
  const std::uint64_t second = up((size + 1) / 2) + up(601);
  const auto offset = number_at<float>(packed, second);
  for (std::uint64_t group = 0; group < 3; ++group) {
    float most = 0.0F;
    for (std::uint64_t block = group * 256; block < std::min<std::uint64_t>(group * 256 + 256, 601); ++block) {
      const float deviation = static_cast<float>(absmax_of(values, block * 64, 64)) - offset;
      most = std::max(most, std::fabs(deviation));
    }
    EXPECT_EQ(number_at<float>(packed, second + 4 + 4 * group), most);
    for (std::uint64_t block = group * 256; block < std::min<std::uint64_t>(group * 256 + 256, 601); ++block) {
      const double wanted = (static_cast<float>(absmax_of(values, block * 64, 64)) - offset) / most;
      const auto code = static_cast<std::uint8_t>(packed[up((size + 1) / 2) + block]);
      ASSERT_LE(std::fabs(map_value(code) - wanted), std::fabs(nearest_map_value(wanted) - wanted) + 4e-5) << block;
    }
  }
}

TEST_P(Formats, Mxfp4RoundsToTheNearestE2m1OfAPowerOfTwo) {
  for (const std::uint64_t size : kSizes) {
    const std::vector<float> values = adversarial_values(size, static_cast<std::uint32_t>(size));
    const auto packed = pack(Format::mxfp4, values);
    ASSERT_EQ(packed.size(), up((size + 1) / 2) + up((size + 31) / 32));
    const auto read = unpack<float>(Format::mxfp4, packed, size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const double absmax = absmax_of(values, i, 32);
      const int exponent = absmax == 0.0 ? -127 : std::max(std::ilogb(absmax) - 2, -127);
      ASSERT_EQ(static_cast<int>(packed[up((size + 1) / 2) + i / 32]), exponent + 127);
      const std::uint8_t code = nibble_of(packed, i, i % 2 == 1);
      const double scaled = std::min(std::ldexp(std::fabs(double{values[i]}), -exponent), 6.0);
      const double got = kFp4Magnitudes[code & 7];
      for (std::size_t other = 0; other < kFp4Magnitudes.size(); ++other) {
        const double mine = std::fabs(got - scaled);
        const double theirs = std::fabs(kFp4Magnitudes[other] - scaled);
        ASSERT_TRUE(mine < theirs || (mine == theirs && (other == (code & 7U) || code % 2 == 0))) << scaled;
      }
      ASSERT_EQ((code & 8) != 0, std::signbit(values[i]));
      ASSERT_EQ(double{read[i]}, std::copysign(std::ldexp(got, exponent), values[i]));
      ASSERT_LE(std::fabs(double{read[i]} - values[i]), std::max(absmax / 4, 0x1p-129));
    }
  }
}

TEST_P(Formats, Mxfp4ScalesByThePowerOfTwoOfEveryAbsmax) {
  for (int exponent = -149; exponent <= 127; ++exponent) {
    const std::array values{std::ldexp(1.0F, exponent), 0.0F};
    const auto packed = pack(Format::mxfp4, values);
    EXPECT_EQ(static_cast<int>(packed[64]), std::max(exponent - 2 + 127, 0)) << exponent;
    EXPECT_EQ(unpack<float>(Format::mxfp4, packed, 2)[0], exponent >= -128 ? values[0] : 0.0F) << exponent;
  }
}

// 2^127 is the greatest scale and 255 stands for no number: what other programs wrote is read by the format's rules.
TEST_P(Formats, Mxfp4ReadsEveryScale) {
  for (int exponent = 0; exponent < 256; ++exponent) {
    std::vector<std::byte> packed(packed_bytes(Format::mxfp4, 2));
    packed[0] = std::byte{0xb2};  // 1, then -1.5
    packed[64] = static_cast<std::byte>(exponent);
    const auto read = unpack<float>(Format::mxfp4, packed, 2);
    if (exponent == 255) {
      EXPECT_TRUE(std::isnan(read[0]) && std::isnan(read[1]));
      EXPECT_EQ(unpack<std::uint16_t>(Format::mxfp4, packed, 2)[0] & 0x7fc0, 0x7fc0);
    } else {
      EXPECT_EQ(double{read[0]}, std::ldexp(1.0, exponent - 127));
      EXPECT_EQ(read[1], static_cast<float>(std::ldexp(-1.5, exponent - 127)));
    }
  }
}

TEST_P(Formats, Bf16IsTheRoundedFp32) {
  const std::vector<float> values = adversarial_values(20011, 5);
  for (const Format format : kFormats) {
    const auto packed = pack(format, values);
    const auto fp32 = unpack<float>(format, packed, values.size());
    const auto bf16 = unpack<std::uint16_t>(format, packed, values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(bf16[i], nearest_bf16(fp32[i])) << name_of(format) << ' ' << i << ' ' << fp32[i];
  }
}

template <class Out>
void expect_equal_parts(Format format, std::span<const std::byte> packed, std::uint64_t elements, std::mt19937& random) {
  const auto whole = unpack<Out>(format, packed, elements);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::uint64_t first = random() % elements;
    const std::uint64_t most = repeat % 2 == 0 ? 100 : elements;
    const std::size_t count = random() % (std::min(most, elements - first) + 1);
    std::vector<Out> part(count + 1, Out{77});
    dequantise(format, packed.data(), elements, first, std::span(part).first(count));
    ASSERT_EQ(std::memcmp(part.data(), whole.data() + first, count * sizeof(Out)), 0) << name_of(format) << ' ' << first << ' ' << count;
    ASSERT_EQ(part.back(), Out{77});
  }
}

TEST_P(Formats, AnyRangeIsThatOfTheWhole) {
  std::mt19937 random(11);
  for (const Format format : kFormats) {
    for (const std::uint64_t size : kSizes) {
      const auto packed = pack(format, adversarial_values(size, 7));
      expect_equal_parts<float>(format, packed, size, random);
      expect_equal_parts<std::uint16_t>(format, packed, size, random);
    }
    const auto long_one = pack(format, adversarial_values(64 * 700 + 17, 8));  // more blocks than are unpacked at once
    expect_equal_parts<float>(format, long_one, 64 * 700 + 17, random);
    expect_equal_parts<std::uint16_t>(format, long_one, 64 * 700 + 17, random);
  }
}

// Of tensors at any address, too.
TEST_P(Formats, EveryTargetPacksAndReadsTheSameBits) {
  for (const Format format : kFormats) {
    for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{95}, std::uint64_t{300007}}) {
      const std::vector<float> values = adversarial_values(size, 13);
      force_target(GetParam());
      const auto packed = pack(format, values);
      std::vector<std::byte> moved(packed.size() + 1);
      std::ranges::copy(packed, moved.begin() + 1);
      const auto fp32 = unpack<float>(format, std::span(moved).subspan(1), size);
      const auto bf16 = unpack<std::uint16_t>(format, packed, size);
      force_target("scalar");
      ASSERT_TRUE(packed == pack(format, values)) << name_of(format) << ' ' << size;
      ASSERT_EQ(std::memcmp(fp32.data(), unpack<float>(format, packed, size).data(), size * 4), 0) << name_of(format) << ' ' << size;
      ASSERT_TRUE(bf16 == unpack<std::uint16_t>(format, packed, size)) << name_of(format) << ' ' << size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Formats, ::testing::ValuesIn(supported_targets()), target_name);

}  // namespace
}  // namespace gsnake::quant::test
