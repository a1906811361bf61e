// Each fused operation and its gradients on a GPU, real or fake, beside LibTorch's operators on the CPU.
#include <gtest/gtest.h>

#include <cmath>

#include "fused/place.h"
#include "greedysnake/batch.h"

namespace gsnake::test {
namespace {

using torch::Tensor;

class Fused : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (Place::why_not() != nullptr) GTEST_SKIP() << Place::why_not();
    place_.emplace();
  }
  void TearDown() override { EXPECT_EQ(Place::misuses(), 0) << "misuse of CUDA, see stderr"; }

  [[nodiscard]] Tensor random(at::IntArrayRef sizes) const { return torch::randn(sizes).to(GetParam()); }
  static Tensor up(const Tensor& tensor) { return tensor.to(torch::kCUDA); }
  static Tensor down(const Tensor& tensor) { return tensor.to(torch::kCPU, torch::kFloat32); }
  // A leaf on the device; as a parameter's, its gradient goes to an fp32 tensor that is bound.
  static Tensor leaf(const Tensor& tensor) { return up(tensor).requires_grad_(true); }
  static Tensor parameter(const Tensor& tensor, float gradient_before) {
    Tensor made = leaf(tensor);
    if (tensor.scalar_type() != torch::kFloat32) made.set_grad_dtype(torch::kFloat32);
    made.mutable_grad() = torch::full(tensor.sizes(), gradient_before, torch::dtype(torch::kFloat32).device(torch::kCUDA));
    return made;
  }
  // What an fp32 computation on the CPU gives, of which the device's result differs by the rounding of its dtype.
  static Tensor wide(const Tensor& tensor) { return tensor.to(torch::kFloat32).requires_grad_(true); }
  void expect_near(const Tensor& device, const Tensor& host, double scale = 1.0) const {
    const double unit = GetParam() == torch::kFloat32 ? 2e-6 : GetParam() == torch::kHalf ? 2e-3 : 1.6e-2;
    const Tensor got = down(device);
    const Tensor want = host.detach().to(torch::kFloat32);
    ASSERT_EQ(got.sizes(), want.sizes());
    const double worst = (got - want).abs().max().item<double>();
    EXPECT_LE(worst, scale * unit * std::max(1.0, want.abs().max().item<double>()));
  }
  const model::FusedOps& ops() const { return place_->ops(); }

 private:
  std::optional<Place> place_;
};

TEST_P(Fused, Linear) {
  const Tensor x = random({2, 5, 24});
  const Tensor weight = random({17, 24});
  const Tensor bias = random({17});
  const Tensor of = random({2, 5, 17});
  Tensor dx = leaf(x);
  Tensor dw = parameter(weight, 0.5F);
  Tensor db = parameter(bias, 0.25F);
  const Tensor y = ops().linear(dx, dw, db);
  y.backward(up(of));
  Tensor hx = wide(x);
  Tensor hw = wide(weight);
  Tensor hb = wide(bias);
  const Tensor expected = at::linear(hx, hw, hb);
  expected.backward(of.to(torch::kFloat32));
  expect_near(y, expected, 4);
  expect_near(dx.grad(), hx.grad(), 4);
  // Added up in fp32, whatever the dtype.
  EXPECT_LE((down(dw.grad()) - (hw.grad() + 0.5)).abs().max().item<double>(), 1e-4);
  EXPECT_LE((down(db.grad()) - (hb.grad() + 0.25)).abs().max().item<double>(), 1e-4);
}

TEST_P(Fused, LinearOfAFrozenWeightPassesTheGradientOn) {
  const Tensor x = random({3, 8});
  const Tensor weight = random({4, 8});
  Tensor dx = leaf(x);
  const Tensor y = ops().linear(dx, up(weight), {});
  y.backward(torch::ones_like(y));
  expect_near(dx.grad(), torch::ones({3, 4}).matmul(weight.to(torch::kFloat32)), 4);
}

TEST_P(Fused, Embedding) {
  const Tensor weight = random({11, 20});
  const Tensor ids = torch::randint(11, {2, 9}, torch::kInt64);
  const Tensor of = random({2, 9, 20});
  Tensor dw = parameter(weight, 1.0F);
  const Tensor y = ops().embedding(dw, up(ids));
  y.backward(up(of));
  EXPECT_TRUE(torch::equal(down(y), at::embedding(weight, ids).to(torch::kFloat32)));
  Tensor expected = torch::ones({11, 20});
  for (std::int64_t t = 0; t < 18; ++t) expected[ids.flatten()[t].item<std::int64_t>()].add_(of.view({18, 20})[t].to(torch::kFloat32));
  EXPECT_TRUE(torch::equal(down(dw.grad()), expected));
}

TEST_P(Fused, RmsNorm) {
  const Tensor x = random({2, 7, 40});
  const Tensor weight = random({40});
  const Tensor of = random({2, 7, 40});
  Tensor dx = leaf(x);
  Tensor dw = parameter(weight, 0.0F);
  const Tensor y = ops().rms_norm(dx, dw, 1e-5);
  y.backward(up(of));
  Tensor hx = wide(x);
  Tensor hw = wide(weight);
  const Tensor expected = hw * (hx * torch::rsqrt(hx.square().mean(-1, true) + 1e-5));
  expected.backward(of.to(torch::kFloat32));
  expect_near(y, expected, 2);
  expect_near(dx.grad(), hx.grad(), 4);
  expect_near(dw.grad(), hw.grad(), 4);
}

TEST_P(Fused, Rotary) {
  const Tensor x = random({2, 6, 3, 10}).transpose(1, 2);  // as a projection's output is seen
  const Tensor angles = torch::randn({6, 5});
  const Tensor of = random({2, 3, 6, 10});
  Tensor dx = leaf(x);
  const Tensor y = ops().rotary(dx, up(angles.cos()), up(angles.sin()));
  y.backward(up(of));
  Tensor hx = wide(x);
  const auto halves = hx.chunk(2, -1);
  const Tensor expected = torch::cat({halves[0] * angles.cos() - halves[1] * angles.sin(), halves[1] * angles.cos() + halves[0] * angles.sin()}, -1);
  expected.backward(of.to(torch::kFloat32));
  expect_near(y, expected);
  expect_near(dx.grad(), hx.grad());
}

TEST_P(Fused, SwiGlu) {
  const Tensor gate = random({3, 33});
  const Tensor up_part = random({3, 33});
  const Tensor of = random({3, 33});
  Tensor dg = leaf(gate);
  Tensor du = leaf(up_part);
  const Tensor y = ops().swiglu(dg, du);
  y.backward(up(of));
  Tensor hg = wide(gate);
  Tensor hu = wide(up_part);
  const Tensor expected = torch::silu(hg) * hu;
  expected.backward(of.to(torch::kFloat32));
  expect_near(y, expected);
  expect_near(dg.grad(), hg.grad());
  expect_near(du.grad(), hu.grad());
}

TEST_P(Fused, HeadLoss) {
  const Tensor logits = random({6, 51});
  Tensor labels = torch::randint(51, {6}, torch::kInt64);
  labels[2] = kIgnoredLabel;
  Tensor on_device = up(logits);
  Tensor loss = torch::full({}, 3.0, torch::dtype(torch::kFloat64).device(torch::kCUDA));
  ops().head_loss(on_device, up(labels), 0.125F, 8.0F, loss);
  Tensor wide_logits = wide(logits);
  const Tensor sum = torch::cross_entropy_loss(wide_logits, labels, {}, at::Reduction::Sum, kIgnoredLabel) * 0.125;
  sum.backward(torch::full_like(sum, 8.0));
  EXPECT_NEAR(loss.to(torch::kCPU).item<double>(), 3.0 + sum.item<double>(), 1e-5);
  expect_near(on_device, wide_logits.grad());
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Fused, testing::Values(torch::kFloat32, torch::kBFloat16, torch::kHalf), [](const auto& test) { return std::string(toString(test.param)); });

}  // namespace
}  // namespace gsnake::test
