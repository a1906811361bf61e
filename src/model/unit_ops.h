// What the compute lane does with a unit: forward, recomputation with backward, and the head in chunks of tokens, on tensors over slot
// memory.
//
// For all functions: the module's parameters are bound (binding.h); the caller has chosen train() or eval() and seeded the generator;
// hidden tensors are (rows, tokens, hidden), contiguous. Parameter gradients are added in place to the bound .grad tensors, in fp32.
// Hidden states and their gradients come and go in the dtype of the caller's tensors (the storage dtype); the module runs in `compute`, the
// dtype of its bound parameters: what comes in is converted, what goes out is rounded to nearest, ties to even. A gradient too large for an
// fp16 tensor becomes infinite and makes weight gradients further down non-finite. But for what Activations hold, nothing is kept
// after a call, and what is allocated is LibTorch's temporaries alone. Not thread-safe on one module. Errors: Error(usage) when shapes do
// not fit or the module is of the wrong kind; c10::Error from LibTorch.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "greedysnake/unit.h"

namespace gsnake::model {

// output <- module(input), without an autograd graph. The module is an EmbeddingUnit (input: ids (rows, tokens) int64) or a Unit. `output`
// may be the memory of `input`.
void forward(torch::nn::Module& module, const torch::Tensor& input, torch::Tensor& output, at::ScalarType compute = torch::kFloat32);

// Recomputes module(input) with a graph and runs it backward from `grad_output`. The gradient with respect to the input goes to
// *grad_input, which may be the memory of grad_output or of input; nullptr: nobody asks for it. An EmbeddingUnit has none.
void backward(torch::nn::Module& module, const torch::Tensor& input, const torch::Tensor& grad_output, torch::Tensor* grad_input,
              at::ScalarType compute = torch::kFloat32);

// What backward needs of one call of a Unit: an autograd graph, and the tensors that it saved. None of them is the caller's memory: input and weights may
// go; but when backward() is called, the same weights are bound again, wherever they lie then.
struct Activations {
  torch::Tensor input;   // in `compute`, a leaf
  torch::Tensor output;  // likewise
};

// forward() with a graph, to the same bits.
Activations forward_and_keep(Unit& unit, const torch::Tensor& input, torch::Tensor& output, at::ScalarType compute = torch::kFloat32);

// backward() of that call, which ends here: same arguments, same bits.
void backward(Activations kept, const torch::Tensor& grad_output, torch::Tensor* grad_input, at::ScalarType compute = torch::kFloat32);

// How the head is run: `scale` multiplies a chunk's loss sum (1/N in float, N the counted tokens of the step); `chunk_tokens` token rows of
// the flattened (rows * tokens, hidden) have logits at once; backward starts from `loss_scale`, which multiplies every gradient and no
// loss.
struct HeadPass {
  float scale = 1.0F;
  std::int64_t chunk_tokens = 256;
  float loss_scale = 1.0F;
  at::ScalarType compute = torch::kFloat32;
};

// Forward and backward of one micro-batch through the head, chunk by chunk; `labels` (rows, tokens) int64. The gradient with respect to
// `hidden`, times loss_scale, goes to *grad_hidden, which may be the memory of `hidden` (nullptr: nobody asks for it). The micro-batch's loss goes to `loss`, a double of no
// dimension, which nobody reads here: the fp32 losses of the chunks, each multiplied by scale in fp32, added in double in chunk order.
void head_forward_backward(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass,
                           torch::Tensor* grad_hidden, torch::Tensor& loss);

// The same loss without gradients: equal bits for equal weights, input, chunk size and mode.
void head_loss(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass, torch::Tensor& loss);

}  // namespace gsnake::model
