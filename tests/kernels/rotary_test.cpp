#include "kernels/rotary.h"

#include "support.h"

namespace gsnake::kernels {
namespace {

// rows, heads, tokens, head_dim, offset
using Shape = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
class Rotary : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    std::tie(rows, heads, tokens, dim, offset) = GetParam();
    std::mt19937 random(5);
    std::uniform_real_distribution<float> angle(0, 7);
    for (std::int64_t i = 0; i < tokens * dim / 2; ++i) {
      const float a = angle(random);
      cos.push_back(std::cos(a));
      sin.push_back(std::sin(a));
    }
    lying = {tokens * heads * dim, dim, heads * dim};      // as a projection leaves them: (rows, tokens, heads, dim)
    standing = {heads * tokens * dim, tokens * dim, dim};  // as attention takes them: (rows, heads, tokens, dim)
  }
  [[nodiscard]] RotaryShape shape(Dtype dtype) const { return {rows, heads, tokens, dim, dtype}; }
  [[nodiscard]] std::int64_t count() const { return rows * heads * tokens * dim; }

  std::int64_t rows = 0, heads = 0, tokens = 0, dim = 0, offset = 0;
  std::vector<float> cos, sin;  // (tokens, dim / 2)
  HeadStrides lying, standing;
};

TEST_P(Rotary, TurnsEachPairByItsAngle) {
  for (const Dtype dtype : kDtypes) {
    std::mt19937 random(1);
    Array input(dtype, count(), offset);
    input.fill(random);
    bool checked = false;
    expect_same_in_every_order([&] {
      Array output(dtype, count(), offset);
      EXPECT_EQ(rotary_forward(shape(dtype), input.data(), lying, cos.data(), sin.data(), output.data(), standing, nullptr), cudaSuccess);
      for (std::int64_t i = 0; i < count() && !checked; ++i) {
        const std::int64_t d = i % dim, token = i / dim % tokens, head = i / dim / tokens % heads, row = i / dim / tokens / heads;
        const std::int64_t from = row * lying.row + head * lying.head + token * lying.token;
        const std::int64_t pair = d % (dim / 2);
        const double c = cos[token * dim / 2 + pair], s = sin[token * dim / 2 + pair];
        const double first = input[from + pair], second = input[from + dim / 2 + pair];
        expect_close(output, dtype, i, d < dim / 2 ? first * c - second * s : second * c + first * s, std::fabs(first) + std::fabs(second));
      }
      checked = true;
      return output.bytes();
    });
  }
}

TEST_P(Rotary, BackwardTurnsBack) {
  for (const Dtype dtype : kDtypes) {
    std::mt19937 random(2);
    Array input(dtype, count(), offset);
    input.fill(random);
    Array there(dtype, count(), offset), back(dtype, count(), offset);
    EXPECT_EQ(rotary_forward(shape(dtype), input.data(), lying, cos.data(), sin.data(), there.data(), standing, nullptr), cudaSuccess);
    EXPECT_EQ(rotary_backward(shape(dtype), there.data(), standing, cos.data(), sin.data(), back.data(), lying, nullptr), cudaSuccess);
    for (std::int64_t i = 0; i < count(); ++i) EXPECT_NEAR(back[i], input[i], 4 * rounding_of(dtype) * 6 + 1e-6) << word_of(dtype) << " " << i;
    // In place gives the same bits.
    Array over(dtype, count(), offset);
    over.copy_from(input);
    Array same(dtype, count(), offset);
    EXPECT_EQ(rotary_forward(shape(dtype), input.data(), lying, cos.data(), sin.data(), same.data(), lying, nullptr), cudaSuccess);
    EXPECT_EQ(rotary_forward(shape(dtype), over.data(), lying, cos.data(), sin.data(), over.data(), lying, nullptr), cudaSuccess);
    EXPECT_TRUE(over.bytes() == same.bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Rotary,
                         testing::Values(Shape{0, 3, 4, 8, 0}, Shape{1, 1, 1, 2, 0}, Shape{2, 3, 5, 6, 1}, Shape{2, 3, 7, 64, 0}, Shape{1, 5, 11, 80, 3}, Shape{3, 2, 3, 38, 0}));

TEST(RotaryShapes, AnOddHeadIsRefused) {
  EXPECT_EQ(rotary_forward({1, 1, 1, 3, Dtype::fp32}, nullptr, {}, nullptr, nullptr, nullptr, {}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace gsnake::kernels
