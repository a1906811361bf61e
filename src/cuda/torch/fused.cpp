#include "cuda/torch/fused.h"

#include "cuda/torch/functions.h"

namespace gsnake::cuda {
namespace {

class CudaFusedOps final : public model::FusedOps {
 public:
  [[nodiscard]] torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) const override { return fused_linear(x, weight, bias); }
  [[nodiscard]] torch::Tensor embedding(const torch::Tensor& weight, const torch::Tensor& ids) const override { return fused_embedding(weight, ids); }
  [[nodiscard]] torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) const override { return fused_rms_norm(x, weight, epsilon); }
  [[nodiscard]] torch::Tensor rotary(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) const override { return fused_rotary(x, cos, sin); }
  [[nodiscard]] torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up) const override { return fused_swiglu(gate, up); }
  void head_loss(torch::Tensor& logits, const torch::Tensor& labels, float scale, float gradient_factor, torch::Tensor& loss) const override {
    fused_head_loss(logits, labels, scale, gradient_factor, loss);
  }
};

}  // namespace

const model::FusedOps& fused_ops() {
  static const CudaFusedOps ops;
  return ops;
}

}  // namespace gsnake::cuda
