#include "kernels/square_sums.h"

#include <limits>

#include "optim/norm.h"
#include "support.h"

namespace gsnake::kernels {
namespace {

static_assert(kNormBlock == optim::kNormBlock);

// Of gradients as if zeros followed.
std::vector<double> partials_on_cpu(const Buffer<float>& gradient) {
  std::vector<double> partials((gradient.size() + kNormBlock - 1) / kNormBlock);
  std::vector<float> padded(partials.size() * kNormBlock);
  std::copy_n(gradient.data(), gradient.size(), padded.begin());
  optim::square_sums(padded, partials);
  return partials;
}

void expect_bits(const Buffer<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), static_cast<std::int64_t>(want.size()));
  for (std::int64_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << "block " << i;
    } else {
      EXPECT_EQ(std::bit_cast<std::uint64_t>(got[i]), std::bit_cast<std::uint64_t>(want[i])) << "block " << i;
    }
  }
}

void fill_wide(Buffer<float>& gradient, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < gradient.size(); ++i) gradient[i] = std::ldexp(normal(random), static_cast<int>(random() % 60) - 30);
}

using Sizes = std::tuple<std::int64_t, std::int64_t>;
class SquareSums : public testing::TestWithParam<Sizes> {};

TEST_P(SquareSums, HaveTheBitsOfTheCpu) {
  const auto [count, offset] = GetParam();
  Buffer<float> gradient(count, offset);
  fill_wide(gradient, 3);
  const std::vector<double> want = partials_on_cpu(gradient);
  expect_same_in_every_order([&] {
    Buffer<double> partials(static_cast<std::int64_t>(want.size()));
    std::uint32_t nonfinite = 0;
    EXPECT_EQ(square_sums(gradient.data(), count, partials.data(), &nonfinite, nullptr), cudaSuccess);
    expect_bits(partials, want);
    EXPECT_EQ(nonfinite, 0U);
    EXPECT_EQ(square_sums(gradient.data(), count, partials.data(), nullptr, nullptr), cudaSuccess);
    return partials.bytes();
  });
}

TEST_P(SquareSums, ShowAnElementThatIsNotFinite) {
  const auto [count, offset] = GetParam();
  for (const float value : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Buffer<float> gradient(count, offset);
    if (count > 0) gradient[count - 1] = value;
    const std::vector<double> want = partials_on_cpu(gradient);
    Buffer<double> partials(static_cast<std::int64_t>(want.size()));
    std::uint32_t nonfinite = 0;
    EXPECT_EQ(square_sums(gradient.data(), count, partials.data(), &nonfinite, nullptr), cudaSuccess);
    expect_bits(partials, want);
    EXPECT_EQ(nonfinite, count > 0 ? 1U : 0U);
  }
}

TEST_P(SquareSums, AccumulateAddsAsTheCpuAndSumsTheSquaresOfTheSum) {
  const auto [count, offset] = GetParam();
  for (const Dtype dtype : kDtypes) {
    std::mt19937 random(11);
    Array addend(dtype, count, offset);
    addend.fill(random, 3.0);
    Buffer<float> before(count, offset);
    fill_wide(before, 5);
    Buffer<float> want(count, offset);
    std::copy_n(before.data(), count, want.data());
    for (std::int64_t i = 0; i < count; ++i) want[i] += static_cast<float>(addend[i]);
    const std::vector<double> want_partials = partials_on_cpu(want);
    expect_same_in_every_order([&] {
      Buffer<float> sum(count, offset);
      std::copy_n(before.data(), count, sum.data());
      Buffer<double> partials(static_cast<std::int64_t>(want_partials.size()));
      std::uint32_t nonfinite = 0;
      EXPECT_EQ(accumulate(sum.data(), addend.data(), dtype, count, partials.data(), &nonfinite, nullptr), cudaSuccess);
      EXPECT_TRUE(sum.bytes() == want.bytes());
      expect_bits(partials, want_partials);
      EXPECT_EQ(nonfinite, 0U);
      return partials.bytes();
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, SquareSums,
                         testing::Combine(testing::Values(0, 1, 15, 2047, 2048, 2049, kThreadSanitizer ? 9001 : 150007), testing::Values(0, 1, 2)));

}  // namespace
}  // namespace gsnake::kernels
