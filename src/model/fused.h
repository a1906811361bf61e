// Operations that a device does in one or two launches of its own where LibTorch takes many. The CPU has none.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace gsnake::model {

// Tensors are on the device, of one floating dtype but where said. All but head_loss() take part in autograd; where a gradient of a weight is
// asked for and its .grad is bound (fp32), it is added to there, within the operation, and autograd is given none. Computed in fp32, rounded
// once where LibTorch's own operators would round to the tensor's dtype. Work is launched on LibTorch's current stream; nothing waits.
class FusedOps {
 public:
  virtual ~FusedOps() = default;
  // x (..., in), weight (out, in), bias (out) or undefined.
  [[nodiscard]] virtual torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) const = 0;
  // weight (count, hidden), ids int64 (rows, tokens).
  [[nodiscard]] virtual torch::Tensor embedding(const torch::Tensor& weight, const torch::Tensor& ids) const = 0;
  // Over the last dimension.
  [[nodiscard]] virtual torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) const = 0;
  // x (rows, heads, tokens, head_dim), a head's dimensions neighbours; cos, sin fp32 (tokens, head_dim / 2).
  [[nodiscard]] virtual torch::Tensor rotary(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) const = 0;
  // silu(gate) * up
  [[nodiscard]] virtual torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up) const = 0;
  // Whether attention on the device knows groups of heads (16-bit dtypes; GQA) for heads of that size; else keys and values are repeated.
  [[nodiscard]] virtual bool attends_in_groups(std::int64_t head_dim) const = 0;
  // logits (tokens, vocab), contiguous; labels int64 (tokens). The sum of the tokens' losses, times `scale` in fp32, is added to `loss`, a double
  // of no dimension. With gradient_factor other than 0 the logits become their gradient, times scale and gradient_factor.
  virtual void head_loss(torch::Tensor& logits, const torch::Tensor& labels, float scale, float gradient_factor, torch::Tensor& loss) const = 0;
};

// Of CUDA devices, from now on, for the whole process; null: none. Borrowed. Not while anything computes.
void set_fused_ops(const FusedOps* ops);
// For tensors where `tensor` is; null: LibTorch's own operators.
const FusedOps* fused_ops(const torch::Tensor& tensor);

}  // namespace gsnake::model
