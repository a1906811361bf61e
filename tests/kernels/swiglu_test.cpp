#include "kernels/swiglu.h"

#include "support.h"

namespace gsnake::kernels {
namespace {

using Sizes = std::tuple<std::int64_t, std::int64_t>;
class Swiglu : public testing::TestWithParam<Sizes> {};

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Inputs {
  Inputs(Dtype dtype, std::int64_t count, std::int64_t offset) : gate(dtype, count, offset), up(dtype, count, offset), grad(dtype, count, offset) {
    std::mt19937 random(21);
    gate.fill(random, 4.0);
    up.fill(random);
    grad.fill(random);
    if (count > 2) gate.set(0, 90), gate.set(1, -90), gate.set(2, -800);  // where exp overflows and underflows
  }
  Array gate, up, grad;
};

TEST_P(Swiglu, EqualsTheFormulaInDouble) {
  const auto [count, offset] = GetParam();
  for (const Dtype dtype : kDtypes) {
    Inputs in(dtype, count, offset);
    bool checked = false;
    expect_same_in_every_order([&] {
      Array output(dtype, count, offset), grad_gate(dtype, count, offset), grad_up(dtype, count, offset);
      EXPECT_EQ(swiglu_forward(in.gate.data(), in.up.data(), output.data(), dtype, count, nullptr), cudaSuccess);
      EXPECT_EQ(swiglu_backward(in.gate.data(), in.up.data(), in.grad.data(), grad_gate.data(), grad_up.data(), dtype, count, nullptr), cudaSuccess);
      for (std::int64_t i = 0; i < count && !checked; ++i) {
        const double g = in.gate[i], u = in.up[i], d = in.grad[i], s = sigmoid(g);
        expect_close(output, dtype, i, g * s * u, std::fabs(g * u));
        expect_close(grad_up, dtype, i, d * g * s, std::fabs(d * g));
        expect_close(grad_gate, dtype, i, d * u * (s + g * s * (1 - s)), std::fabs(d * u) * 2);
      }
      checked = true;
      std::vector<unsigned char> all = output.bytes();
      for (const auto& part : {grad_gate.bytes(), grad_up.bytes()}) all.insert(all.end(), part.begin(), part.end());
      return all;
    });
  }
}

TEST_P(Swiglu, InPlaceGivesTheSameBits) {
  const auto [count, offset] = GetParam();
  Inputs in(Dtype::bf16, count, offset);
  Array output(Dtype::bf16, count), grad_gate(Dtype::bf16, count), grad_up(Dtype::bf16, count);
  EXPECT_EQ(swiglu_forward(in.gate.data(), in.up.data(), output.data(), Dtype::bf16, count, nullptr), cudaSuccess);
  EXPECT_EQ(swiglu_backward(in.gate.data(), in.up.data(), in.grad.data(), grad_gate.data(), grad_up.data(), Dtype::bf16, count, nullptr), cudaSuccess);
  Inputs over(Dtype::bf16, count, offset);
  EXPECT_EQ(swiglu_forward(over.gate.data(), over.up.data(), over.up.data(), Dtype::bf16, count, nullptr), cudaSuccess);
  EXPECT_TRUE(over.up.bytes() == output.bytes());
  Inputs back(Dtype::bf16, count, offset);
  EXPECT_EQ(swiglu_backward(back.gate.data(), back.up.data(), back.grad.data(), back.up.data(), back.gate.data(), Dtype::bf16, count, nullptr), cudaSuccess);
  EXPECT_TRUE(back.up.bytes() == grad_gate.bytes());
  EXPECT_TRUE(back.gate.bytes() == grad_up.bytes());
}

INSTANTIATE_TEST_SUITE_P(Sizes, Swiglu, testing::Combine(testing::Values(0, 1, 7, 8, 259, kThreadSanitizer ? 2111 : 10007), testing::Values(0, 1)));

}  // namespace
}  // namespace gsnake::kernels
