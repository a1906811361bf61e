#include "optim/norm.h"

#include <array>
#include <cmath>

#include "optim/support.h"

namespace gsnake::optim::test {
namespace {

using NormOnEveryTarget = EveryTarget;

void expect_same_sums(std::span<const double> actual, std::span<const double> expected) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << "block " << i;
    } else {
      EXPECT_EQ(actual[i], expected[i]) << "block " << i;
    }
  }
}

TEST_P(NormOnEveryTarget, BlockSumsEqualScalar) {
  constexpr std::size_t kBlocks = 33;
  for (const auto& gradient : {normal_values(kBlocks * kNormBlock, 1e-2F, 1), adversarial_values(kBlocks * kNormBlock, 2)}) {
    std::array<double, kBlocks> actual{};
    std::array<double, kBlocks> expected{};
    square_sums(gradient, actual);
    square_sums(gradient, expected, Target::scalar);
    expect_same_sums(actual, expected);
  }
}

TEST_P(NormOnEveryTarget, ChunksGiveWhatTheWholeObjectGives) {
  constexpr std::size_t kBlocks = 12;
  const std::vector<float> gradient = normal_values(kBlocks * kNormBlock, 1.0F, 4);
  std::array<double, kBlocks> whole{};
  square_sums(gradient, whole);
  for (std::size_t blocks = 1; blocks < kBlocks; ++blocks) {
    std::array<double, kBlocks> cut{};
    for (std::size_t begin = 0; begin < kBlocks; begin += blocks) {
      const std::size_t count = std::min(blocks, kBlocks - begin);
      square_sums(std::span(gradient).subspan(begin * kNormBlock, count * kNormBlock), std::span(cut).subspan(begin, count));
    }
    EXPECT_EQ(cut, whole);
    EXPECT_EQ(total_norm(cut), total_norm(whole));
  }
}

TEST_P(NormOnEveryTarget, OneNonFiniteElementAnywhereMarksItsBlockAlone) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (std::size_t at = kNormBlock; at < 2 * kNormBlock; ++at) {
      std::vector<float> gradient(3 * kNormBlock, std::numeric_limits<float>::max());
      gradient[at] = bad;
      std::array<double, 3> sums{};
      square_sums(gradient, sums);
      ASSERT_TRUE(std::isfinite(sums[0]));
      ASSERT_FALSE(std::isfinite(sums[1])) << "element " << at;
      ASSERT_TRUE(std::isfinite(sums[2]));
      ASSERT_FALSE(std::isfinite(total_norm(sums)));
    }
  }
}

TEST_P(NormOnEveryTarget, SumsAreThoseOfTheDocumentedOrder) {
  const std::vector<float> gradient = normal_values(kNormBlock, 1.0F, 17);
  std::array<double, 16> lanes{};
  for (std::size_t i = 0; i < gradient.size(); ++i) lanes[i % 16] += static_cast<double>(gradient[i]) * gradient[i];
  std::array<double, 8> eights{};
  for (std::size_t i = 0; i < 8; ++i) eights[i] = lanes[i] + lanes[i + 8];
  std::array<double, 4> fours{};
  for (std::size_t i = 0; i < 4; ++i) fours[i] = eights[i] + eights[i + 4];
  std::array<double, 1> sum{};
  square_sums(gradient, sum);
  EXPECT_EQ(sum[0], (fours[0] + fours[2]) + (fours[1] + fours[3]));
}

INSTANTIATE_TEST_SUITE_P(Targets, NormOnEveryTarget, ::testing::ValuesIn(supported_targets()), target_name);

TEST(TotalNorm, IsTheRootOfTheSum) { EXPECT_EQ(total_norm(std::array{9.0, 4.0, 12.0, 0.0}), 5.0); }

TEST(TotalNorm, OfNothingIsZero) { EXPECT_EQ(total_norm({}), 0.0); }

TEST(TotalNorm, AddsFromTheFirstToTheLast) {
  const std::array partials{0x1p53, 1.0, 1.0};  // 2^53 + 1 rounds back to 2^53, twice; the other order would keep the 2
  EXPECT_EQ(total_norm(partials), std::sqrt(0x1p53));
}

}  // namespace
}  // namespace gsnake::optim::test
