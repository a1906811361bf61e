// What the autograd functions share: tensors as kernels take them.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/torch.h>

#include "greedysnake/choices.h"

namespace gsnake::cuda {

inline Dtype dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16: return Dtype::bf16;
    case at::kHalf: return Dtype::fp16;
    default: break;
  }
  TORCH_CHECK(type == at::kFloat, "fused operations take fp32, bf16 and fp16, not ", type);
  return Dtype::fp32;
}
inline Dtype dtype_of(const torch::Tensor& tensor) { return dtype_of(tensor.scalar_type()); }

inline cudaStream_t current_stream(const torch::Tensor& tensor) { return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream(); }

// Device memory from LibTorch's allocator, free again in the stream's order when the tensor goes.
inline torch::Tensor workspace(std::size_t bytes, const torch::Tensor& like) {
  return torch::empty({static_cast<std::int64_t>(bytes)}, torch::dtype(torch::kUInt8).device(like.device()));
}

// Where an operation adds the gradient of a weight: the bound .grad, or a new tensor, that autograd is given.
struct WeightGradient {
  explicit WeightGradient(const torch::Tensor& weight) : bound(weight.grad().defined() && weight.grad().scalar_type() == torch::kFloat32 && weight.grad().is_contiguous()) {
    sum = bound ? weight.grad() : torch::zeros(weight.sizes(), torch::dtype(torch::kFloat32).device(weight.device()));
  }
  // What backward() returns for the weight.
  [[nodiscard]] torch::Tensor returned(const torch::Tensor& weight) const { return bound ? torch::Tensor() : sum.to(weight.scalar_type()); }

  bool bound;
  torch::Tensor sum;
};

}  // namespace gsnake::cuda
