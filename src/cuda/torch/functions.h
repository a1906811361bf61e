// The fused operations as autograd knows them. Every tensor is on a CUDA device, and everything is launched on LibTorch's current stream.
#pragma once

#include <torch/torch.h>

namespace gsnake::cuda {

// As model::FusedOps has them.
torch::Tensor fused_linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);
torch::Tensor fused_embedding(const torch::Tensor& weight, const torch::Tensor& ids);
torch::Tensor fused_rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon);
torch::Tensor fused_rotary(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin);
torch::Tensor fused_swiglu(const torch::Tensor& gate, const torch::Tensor& up);
void fused_head_loss(torch::Tensor& logits, const torch::Tensor& labels, float scale, float gradient_factor, torch::Tensor& loss);

}  // namespace gsnake::cuda
