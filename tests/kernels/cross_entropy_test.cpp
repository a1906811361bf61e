#include "kernels/cross_entropy.h"

#include <limits>

#include "support.h"

namespace gsnake::kernels {
namespace {

constexpr float kScale = 0.03125F;
constexpr float kLossScale = 8.0F;
constexpr double kBefore = 0.75;  // what the loss holds already

struct Chunk {
  Chunk(Dtype dtype, std::int64_t rows, std::int64_t vocab, std::int64_t offset) : shape{rows, vocab, dtype}, logits(dtype, rows * vocab, offset) {
    std::mt19937 random(static_cast<std::uint32_t>(rows + vocab));
    logits.fill(random, 5.0);
    for (std::int64_t row = 0; row < rows; ++row) labels.push_back(row % 3 == 1 ? -100 : static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(vocab)));
  }
  cudaError_t run(float gradient_factor) {
    Buffer<unsigned char> workspace(static_cast<std::int64_t>(cross_entropy_workspace_bytes(shape)));
    return cross_entropy(shape, logits.data(), labels.data(), kScale, gradient_factor, &loss, workspace.data(), nullptr);
  }
  // The greatest logit of a row and the sum of exp(logit - greatest).
  [[nodiscard]] std::pair<double, double> denominator(std::int64_t row) const {
    double greatest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::int64_t i = 0; i < shape.vocab; ++i) greatest = std::max(greatest, logits[row * shape.vocab + i]);
    for (std::int64_t i = 0; i < shape.vocab; ++i) sum += std::exp(logits[row * shape.vocab + i] - greatest);
    return {greatest, sum};
  }
  [[nodiscard]] double want_loss() const {
    double sum = 0;
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      if (labels[row] == -100) continue;
      const auto [greatest, denominators] = denominator(row);
      sum += std::log(denominators) + greatest - logits[row * shape.vocab + labels[row]];
    }
    return sum * kScale;
  }

  CrossEntropyShape shape;
  Array logits;
  std::vector<std::int64_t> labels;
  double loss = kBefore;
};

using Shape = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // rows, vocab, offset
class CrossEntropy : public testing::TestWithParam<Shape> {};

TEST_P(CrossEntropy, EqualsTheFormulaInDouble) {
  const auto [rows, vocab, offset] = GetParam();
  for (const Dtype dtype : kDtypes) {
    const Chunk before(dtype, rows, vocab, offset);
    const double want = before.want_loss();
    bool checked = false;
    expect_same_in_every_order([&] {
      Chunk chunk(dtype, rows, vocab, offset);
      EXPECT_EQ(chunk.run(kLossScale), cudaSuccess);
      EXPECT_NEAR(chunk.loss - kBefore, want, 2e-6 * std::fabs(want) + 1e-6 * static_cast<double>(rows) * kScale);
      for (std::int64_t row = 0; row < rows && !checked; ++row) {
        const auto [greatest, sum] = before.denominator(row);
        for (std::int64_t i = 0; i < vocab; ++i) {
          const double softmax = std::exp(before.logits[row * vocab + i] - greatest) / sum;
          const double gradient = before.labels[row] == -100 ? 0.0 : (softmax - (i == before.labels[row] ? 1 : 0)) * kScale * kLossScale;
          expect_close(chunk.logits, dtype, row * vocab + i, gradient, kScale * kLossScale * (softmax + (i == before.labels[row] ? 1 : 0)) * 4);
        }
      }
      checked = true;
      std::vector<unsigned char> all = chunk.logits.bytes();
      const auto* loss = reinterpret_cast<const unsigned char*>(&chunk.loss);
      all.insert(all.end(), loss, loss + sizeof(double));
      return all;
    });
  }
}

TEST_P(CrossEntropy, WithoutGradientGivesTheSameLossAndLeavesTheLogits) {
  const auto [rows, vocab, offset] = GetParam();
  Chunk with(Dtype::bf16, rows, vocab, offset), without(Dtype::bf16, rows, vocab, offset);
  const auto before = without.logits.bytes();
  EXPECT_EQ(with.run(1.0F), cudaSuccess);
  EXPECT_EQ(without.run(0.0F), cudaSuccess);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(with.loss), std::bit_cast<std::uint64_t>(without.loss));
  EXPECT_TRUE(without.logits.bytes() == before);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropy,
                         testing::Values(Shape{0, 5, 0}, Shape{1, 1, 0}, Shape{1, 2, 1}, Shape{5, 7, 0}, Shape{3, 1000, 0}, Shape{2, 1001, 3}, Shape{7, kThreadSanitizer ? 1100 : 5003, 0},
                                         Shape{kThreadSanitizer ? 3 : 600, 40, 0}, Shape{2, kThreadSanitizer ? 4200 : 33000, 0}));

TEST(CrossEntropyLabels, OneOutsideTheVocabularyMakesTheLossNaN) {
  for (const std::int64_t label : {std::int64_t{9}, std::int64_t{-1}}) {
    Chunk chunk(Dtype::fp32, 3, 9, 0);
    chunk.labels[2] = label;
    EXPECT_EQ(chunk.run(1.0F), cudaSuccess);
    EXPECT_TRUE(std::isnan(chunk.loss));
  }
}

TEST(CrossEntropyLogits, OfMinusInfinityHaveNoShareAndNoGradient) {
  Chunk chunk(Dtype::fp32, 1, 5000, 0);
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < 5000; ++i) chunk.logits.set(i, i == 4321 || i == 17 ? 1.0 : kNever);
  chunk.labels[0] = 17;
  EXPECT_EQ(chunk.run(1.0F), cudaSuccess);
  EXPECT_NEAR(chunk.loss - kBefore, std::log(2.0) * kScale, 1e-7);
  EXPECT_EQ(chunk.logits[0], 0.0);
  EXPECT_NEAR(chunk.logits[17], -0.5 * kScale, 1e-8);
  EXPECT_NEAR(chunk.logits[4321], 0.5 * kScale, 1e-8);
}

TEST(CrossEntropyLogits, ThatAreNaNShowInTheLoss) {
  for (const std::int64_t at : {0, 700}) {
    Chunk chunk(Dtype::bf16, 1, 701, 0);
    chunk.logits.set(at, std::numeric_limits<double>::quiet_NaN());
    chunk.labels[0] = 3;
    EXPECT_EQ(chunk.run(1.0F), cudaSuccess);
    EXPECT_TRUE(std::isnan(chunk.loss));
  }
}

}  // namespace
}  // namespace gsnake::kernels
