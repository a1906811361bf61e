#include "cuda/torch/fused.h"

#include <c10/cuda/CUDAException.h>
#include <cuda_runtime_api.h>

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
  // Flash attention's kernels are for these.
  [[nodiscard]] bool attends_in_groups(std::int64_t head_dim) const override {
    static const bool has_flash = [] {
      int device = 0;
      int major = 0;
      C10_CUDA_CHECK(cudaGetDevice(&device));
      C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
      return major >= 8;
    }();
    return has_flash && head_dim <= 256;
  }
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
