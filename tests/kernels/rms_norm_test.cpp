#include "kernels/rms_norm.h"

#include "support.h"

namespace gsnake::kernels {
namespace {

constexpr float kEpsilon = 1e-5F;

struct Inputs {
  Inputs(Dtype dtype, std::int64_t rows, std::int64_t hidden, std::int64_t offset)
      : shape{rows, hidden, kEpsilon, dtype}, x(dtype, rows * hidden, offset), weight(dtype, hidden, offset), grad_y(dtype, rows * hidden, offset), before(hidden) {
    std::mt19937 random(static_cast<std::uint32_t>(rows * 131 + hidden));
    x.fill(random, 2.0);
    weight.fill(random);
    grad_y.fill(random);
    for (std::int64_t i = 0; i < hidden; ++i) before[i] = static_cast<float>(i % 7);
  }
  [[nodiscard]] double scale(std::int64_t row) const {
    double sum = 0;
    for (std::int64_t i = 0; i < shape.hidden; ++i) sum += x[row * shape.hidden + i] * x[row * shape.hidden + i];
    return 1.0 / std::sqrt(sum / static_cast<double>(shape.hidden) + static_cast<double>(kEpsilon));
  }

  RmsNormShape shape;
  Array x, weight, grad_y;
  Buffer<float> before;  // what grad_weight holds already
};

void expect_forward(const Inputs& in, const Array& y, const Buffer<float>& scale) {
  for (std::int64_t row = 0; row < in.shape.rows; ++row) {
    const double want_scale = in.scale(row);
    EXPECT_NEAR(scale[row], want_scale, 1e-6 * want_scale);
    for (std::int64_t i = 0; i < in.shape.hidden; ++i) {
      const double normed = in.x[row * in.shape.hidden + i] * want_scale;
      // The rounding before the weight's factor, too.
      expect_close(y, in.shape.dtype, row * in.shape.hidden + i, normed * in.weight[i], std::fabs(normed * in.weight[i]) * (1 + rounding_of(in.shape.dtype) * 5e5));
    }
  }
}

void expect_backward(const Inputs& in, const Array& grad_x, const Buffer<float>& grad_weight) {
  const auto [rows, hidden, epsilon, dtype] = in.shape;
  std::vector<double> want_weight(static_cast<std::size_t>(hidden));
  std::vector<double> size(static_cast<std::size_t>(hidden));
  for (std::int64_t row = 0; row < rows; ++row) {
    const double scale = in.scale(row);
    double mean = 0;
    for (std::int64_t i = 0; i < hidden; ++i) {
      const std::int64_t at = row * hidden + i;
      mean += in.grad_y[at] * in.weight[i] * in.x[at] * scale / static_cast<double>(hidden);
      want_weight[i] += in.grad_y[at] * in.x[at] * scale;
      size[i] += std::fabs(in.grad_y[at] * in.x[at] * scale);
    }
    for (std::int64_t i = 0; i < hidden; ++i) {
      const std::int64_t at = row * hidden + i;
      expect_close(grad_x, dtype, at, scale * (in.grad_y[at] * in.weight[i] - in.x[at] * scale * mean), scale * 4);
    }
  }
  for (std::int64_t i = 0; i < hidden; ++i) {
    EXPECT_NEAR(grad_weight[i], in.before[i] + want_weight[i], (rounding_of(dtype) + 1e-6) * size[i] + 1e-5) << "column " << i;
  }
}

// rows, hidden, offset: of a warp's rows and of a block's, with fewer and more rows than there are workers, with sums that fit into shared memory and not.
using Shape = std::tuple<std::int64_t, std::int64_t, std::int64_t>;
class RmsNorm : public testing::TestWithParam<Shape> {};

TEST_P(RmsNorm, EqualsTheFormulaInDouble) {
  const auto [rows, hidden, offset] = GetParam();
  for (const Dtype dtype : kDtypes) {
    Inputs in(dtype, rows, hidden, offset);
    Buffer<unsigned char> workspace(static_cast<std::int64_t>(rms_norm_workspace_bytes(in.shape)));
    bool checked = false;
    expect_same_in_every_order([&] {
      Array y(dtype, rows * hidden, offset);
      Buffer<float> scale(rows);
      EXPECT_EQ(rms_norm_forward(in.shape, in.x.data(), in.weight.data(), y.data(), scale.data(), nullptr), cudaSuccess);
      Array grad_x(dtype, rows * hidden, offset);
      Buffer<float> grad_weight(hidden);
      std::copy_n(in.before.data(), hidden, grad_weight.data());
      EXPECT_EQ(rms_norm_backward(in.shape, in.x.data(), in.weight.data(), scale.data(), in.grad_y.data(), grad_x.data(), grad_weight.data(), workspace.data(), nullptr),
                cudaSuccess);
      if (!checked) {
        expect_forward(in, y, scale);
        expect_backward(in, grad_x, grad_weight);
      }
      checked = true;
      std::vector<unsigned char> all = y.bytes();
      for (const auto& part : {grad_x.bytes(), grad_weight.bytes(), scale.bytes()}) all.insert(all.end(), part.begin(), part.end());
      return all;
    });
  }
}

constexpr bool kSmall = kThreadSanitizer;
INSTANTIATE_TEST_SUITE_P(Shapes, RmsNorm,
                         testing::Values(Shape{0, 8, 0}, Shape{1, 1, 0}, Shape{3, 7, 1}, Shape{5, 40, 0}, Shape{kSmall ? 40 : 2100, 33, 0}, Shape{9, 1000, 0}, Shape{2, 1024, 3},
                                         Shape{3, 1032, 0}, Shape{2, 2500, 1}, Shape{kSmall ? 4 : 300, 1033, 0}, Shape{3, kSmall ? 12050 : 13001, 0}));

TEST(RmsNormInPlace, GivesTheSameBits) {
  for (const std::int64_t hidden : {100, 2000}) {
    Inputs in(Dtype::bf16, 3, hidden, 0);
    Array y(Dtype::bf16, 3 * hidden), grad_x(Dtype::bf16, 3 * hidden);
    Buffer<float> scale(3);
    EXPECT_EQ(rms_norm_forward(in.shape, in.x.data(), in.weight.data(), y.data(), scale.data(), nullptr), cudaSuccess);
    EXPECT_EQ(rms_norm_backward(in.shape, in.x.data(), in.weight.data(), scale.data(), in.grad_y.data(), grad_x.data(), nullptr, nullptr, nullptr), cudaSuccess);

    Inputs over_grad(Dtype::bf16, 3, hidden, 0);
    EXPECT_EQ(rms_norm_backward(in.shape, in.x.data(), in.weight.data(), scale.data(), over_grad.grad_y.data(), over_grad.grad_y.data(), nullptr, nullptr, nullptr), cudaSuccess);
    EXPECT_TRUE(over_grad.grad_y.bytes() == grad_x.bytes());
    Inputs over_x(Dtype::bf16, 3, hidden, 0);
    EXPECT_EQ(rms_norm_backward(in.shape, over_x.x.data(), in.weight.data(), scale.data(), in.grad_y.data(), over_x.x.data(), nullptr, nullptr, nullptr), cudaSuccess);
    EXPECT_TRUE(over_x.x.bytes() == grad_x.bytes());
    EXPECT_EQ(rms_norm_forward(in.shape, in.x.data(), in.weight.data(), in.x.data(), nullptr, nullptr), cudaSuccess);
    EXPECT_TRUE(in.x.bytes() == y.bytes());
  }
}

TEST(RmsNormBackward, RefusesAWeightGradientWithoutWorkspace) {
  Inputs in(Dtype::fp32, 1, 4, 0);
  float scale = 1;
  EXPECT_EQ(rms_norm_backward(in.shape, in.x.data(), in.weight.data(), &scale, in.grad_y.data(), nullptr, in.before.data(), nullptr, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace gsnake::kernels
