// The storage formats: over every bit pattern where a build is fast enough, over a stride of them where sanitizers slow it down.
#include "optim/formats.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <thread>

#include "greedysnake/error.h"
#include "optim/support.h"
#include "sweep.h"

namespace gsnake::optim::test {
namespace {

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::uint64_t block_stride() { return static_cast<std::uint64_t>(gsnake::test::sweep(17, 1)); }
#else
std::uint64_t block_stride() { return 251; }
#endif
constexpr std::uint64_t kBlock = 1 << 16;  // patterns that share their upper half

// Calls `check` with the first of each 65536 patterns (of all 2^32, or of one block in block_stride(), which is prime: of every sign and exponent), on every core. False from it ends the walk.
void for_every_block(const std::function<bool(std::uint32_t first)>& check) {
  const std::uint64_t stride = block_stride();
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> good{true};
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t block; good && (block = next.fetch_add(stride)) < kBlock;) {
        if (!check(static_cast<std::uint32_t>(block * kBlock))) {
          good = false;
          ADD_FAILURE() << "among the patterns from " << block * kBlock;
        }
      }
    });
  }
}

void fill(std::vector<float>& values, std::uint32_t first) {
  for (std::uint32_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<float>(first + i);
}

// How many patterns have another weight, or another remainder, than the definition in integers gives.
std::size_t wrong_splits(std::uint32_t first, std::span<const std::uint16_t> weight, std::span<const std::int16_t> remainder) {
  std::size_t wrong = 0;
  for (std::uint32_t i = 0; i < weight.size(); ++i) {
    const std::uint32_t bits = first + i;
    const std::uint32_t low = bits & 0xffffU;
    const auto nearest =
        static_cast<std::uint16_t>((bits >> 16U) + (low >= 0x8000U ? 1U : 0U));  // of the magnitude, so ties go away from zero
    const auto left = static_cast<std::int32_t>(low) - (low >= 0x8000U ? 0x10000 : 0);
    wrong += weight[i] != nearest || remainder[i] != left ? 1U : 0U;
  }
  return wrong;
}

using FormatsOnEveryTarget = EveryTarget;

TEST_P(FormatsOnEveryTarget, EveryBitPatternSurvivesTheSplitMaster) {
  for_every_block([](std::uint32_t first) {
    thread_local std::vector<float> master(kBlock);
    thread_local std::vector<float> joined(kBlock);
    thread_local std::vector<std::uint16_t> weight(kBlock);
    thread_local std::vector<std::int16_t> remainder(kBlock);
    fill(master, first);
    split_master(master, weight, remainder);
    join_master(weight, remainder, joined);
    return wrong_splits(first, weight, remainder) == 0 && std::memcmp(master.data(), joined.data(), kBlock * sizeof(float)) == 0;
  });
}

// Values, boundaries and ties are in ToFp16 below, for the scalar reference; here the targets are compared with it.
TEST_P(FormatsOnEveryTarget, EveryBitPatternHasTheScalarsFp16) {
  if (GetParam() == "scalar") GTEST_SKIP() << "it is what the others are compared with";
  for_every_block([](std::uint32_t first) {
    thread_local std::vector<float> master(kBlock);
    thread_local std::vector<std::uint16_t> actual(kBlock);
    thread_local std::vector<std::uint16_t> expected(kBlock);
    fill(master, first);
    to_fp16(master, actual);
    to_fp16(master, expected, Target::scalar);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const bool both_nan = (actual[i] & 0x7fffU) > 0x7c00U && (expected[i] & 0x7fffU) > 0x7c00U;
      wrong += actual[i] != expected[i] && !both_nan ? 1U : 0U;
    }
    return wrong == 0;
  });
}

TEST_P(FormatsOnEveryTarget, WidenedValuesAreThoseThatTheBitsMean) {
  std::vector<std::uint16_t> bits(kBlock);
  for (std::uint32_t i = 0; i < kBlock; ++i) bits[i] = static_cast<std::uint16_t>(i);
  std::vector<float> fp16(kBlock);
  std::vector<float> bf16(kBlock);
  widen(WeightFormat::fp16, bits, fp16);
  widen(WeightFormat::bf16, bits, bf16);
  const auto meaning = [](std::uint32_t pattern, int significand_bits, int bias) {
    const std::uint32_t magnitude = pattern & 0x7fffU;
    const auto significand = static_cast<double>(magnitude & ((1U << static_cast<unsigned>(significand_bits)) - 1U));
    const int exponent = static_cast<int>(magnitude >> static_cast<unsigned>(significand_bits));
    const double scale = std::ldexp(1.0, (exponent == 0 ? 1 : exponent) - bias - significand_bits);
    const double value = (significand + (exponent == 0 ? 0.0 : std::ldexp(1.0, significand_bits))) * scale;
    if (exponent == 2 * bias + 1)
      return significand == 0.0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    return value;
  };
  for (std::uint32_t i = 0; i < kBlock; ++i) {
    const double sign = (i & 0x8000U) != 0 ? -1.0 : 1.0;
    ASSERT_TRUE(same_value(fp16[i], static_cast<float>(std::copysign(meaning(i, 10, 15), sign)))) << i;
    ASSERT_TRUE(same_value(bf16[i], static_cast<float>(std::copysign(meaning(i, 7, 127), sign)))) << i;
  }
}

TEST_P(FormatsOnEveryTarget, SpansOfAnySizeAreConvertedToTheLastElement) {
  for (std::size_t size = 0; size <= 100; ++size) {
    const std::vector<float> master = normal_values(size, 1.0F, 3);
    std::vector<std::uint16_t> weight(size + 1, 0xabcd);
    std::vector<std::int16_t> remainder(size + 1, 0x1234);
    std::vector<float> joined(size + 1, 5.0F);
    split_master(master, std::span(weight).first(size), std::span(remainder).first(size));
    join_master(std::span(weight).first(size), std::span(remainder).first(size), std::span(joined).first(size));
    expect_same(std::span(joined).first(size), master, "master");
    EXPECT_EQ(weight.back(), 0xabcd);
    EXPECT_EQ(remainder.back(), 0x1234);
    EXPECT_EQ(joined.back(), 5.0F);
    to_fp16(master, std::span(weight).first(size));
    widen(WeightFormat::fp16, std::span(weight).first(size), std::span(joined).first(size));
    for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(joined[i], master[i], std::fabs(master[i]) * 0x1p-11F);
    EXPECT_EQ(weight.back(), 0xabcd);
    EXPECT_EQ(joined.back(), 5.0F);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, FormatsOnEveryTarget, ::testing::ValuesIn(supported_targets()), target_name);

std::uint16_t fp16_of(float value) {
  std::uint16_t bits = 0;
  to_fp16({&value, 1}, {&bits, 1}, Target::scalar);
  return bits;
}

float value_of(std::uint16_t bits) {
  float value = 0.0F;
  widen(WeightFormat::fp16, {&bits, 1}, {&value, 1}, Target::scalar);
  return value;
}

// With the monotony below these are all values: each fp16, the middle between it and the next, and the floats on both sides of the middle.
TEST(ToFp16, RoundsToNearestWithTiesToEven) {
  for (std::uint16_t bits = 0; bits < 0x7c00; ++bits) {
    const float value = value_of(bits);
    const float next = bits == 0x7bff ? 65536.0F : value_of(static_cast<std::uint16_t>(bits + 1));
    const float middle = (value + next) / 2;
    ASSERT_EQ(fp16_of(value), bits);
    ASSERT_EQ(fp16_of(-value), bits | 0x8000);
    ASSERT_EQ(fp16_of(middle), bits + (bits & 1));
    ASSERT_EQ(fp16_of(std::nextafter(middle, 0.0F)), bits);
    ASSERT_EQ(fp16_of(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(fp16_of(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_TRUE(std::isnan(value_of(fp16_of(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(ToFp16, NeverFallsWhereTheMasterRises) {
  for_every_block([](std::uint32_t first) {
    thread_local std::vector<float> master(kBlock);
    thread_local std::vector<std::uint16_t> weight(kBlock);
    if ((first & 0x7fffffffU) > 0x7f800000U) return true;  // not numbers
    fill(master, first);
    to_fp16(master, weight, Target::scalar);
    const std::size_t numbers = (first & 0x7fffffffU) == 0x7f800000U ? 1 : kBlock;
    return std::is_sorted(weight.begin(), weight.begin() + static_cast<std::ptrdiff_t>(numbers)) &&
           (weight[0] & 0x8000U) == (first >> 16U & 0x8000U);
  });
}

TEST(Storable, EndsWhereTheWeightWouldBecomeInfinite) {
  struct Edge {
    WeightFormat format;
    float beyond;
  };
  for (const Edge& edge : {Edge{WeightFormat::fp32, std::numeric_limits<float>::infinity()}, Edge{WeightFormat::bf16, 0x1.ffp127F},
                           Edge{WeightFormat::fp16, 65520.0F}}) {
    for (const float sign : {1.0F, -1.0F}) {
      EXPECT_TRUE(storable(edge.format, std::array{0.0F, sign * std::nextafter(edge.beyond, 0.0F)}));
      EXPECT_FALSE(storable(edge.format, std::array{0.0F, sign * edge.beyond}));
    }
    EXPECT_FALSE(storable(edge.format, std::array{std::numeric_limits<float>::quiet_NaN(), 1.0F}));
    EXPECT_TRUE(storable(edge.format, {}));
  }
  EXPECT_EQ(fp16_of(65520.0F), 0x7c00);
  EXPECT_EQ(fp16_of(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  const std::array edges{0x1.ffp127F, std::nextafter(0x1.ffp127F, 0.0F)};
  std::array<std::uint16_t, 2> weight{};
  std::array<std::int16_t, 2> remainder{};
  split_master(edges, weight, remainder);
  EXPECT_EQ(weight, (std::array<std::uint16_t, 2>{0x7f80, 0x7f7f}));
}

TEST(Conversions, OfSpansThatDifferInSizeAreRefused) {
  std::vector<float> wide(4);
  std::vector<std::uint16_t> weight(3);
  std::vector<std::int16_t> remainder(4);
  EXPECT_THROW(split_master(wide, weight, remainder), Error);
  EXPECT_THROW(join_master(weight, remainder, wide), Error);
  EXPECT_THROW(to_fp16(wide, weight), Error);
  EXPECT_THROW(widen(WeightFormat::bf16, weight, wide), Error);
  EXPECT_THROW(widen(WeightFormat::fp32, weight, std::span(wide).first(3)), Error);
}

}  // namespace
}  // namespace gsnake::optim::test
