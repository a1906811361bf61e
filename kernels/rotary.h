// Rotary positions in Hugging Face's convention (src/model/layers.h): dimension i of a head is paired with i + head_dim / 2 and turned by the angle of its
// position.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

// Elements from one row, head and token to the next; the dimensions of a head are neighbours.
struct HeadStrides {
  std::int64_t row = 0;
  std::int64_t head = 0;
  std::int64_t token = 0;
};

struct RotaryShape {
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  std::int64_t tokens = 0;
  std::int64_t head_dim = 0;  // even
  Dtype dtype = Dtype::fp32;  // of input and output
};

// output = input turned forward; a projection's output (rows, tokens, heads, head_dim) goes in as it lies, by its strides. cos, sin: fp32 (tokens, head_dim / 2).
// Computed in fp32 and rounded once. Device pointers, aligned as their type is (16 bytes, halves of a head and strides of whole 16 bytes: faster); output may
// be input, with the same strides, and may not overlap it otherwise. In stream order; returns what the launch returned, cudaErrorInvalidValue for an odd
// head_dim.
cudaError_t rotary_forward(const RotaryShape& shape, const void* input, const HeadStrides& input_strides, const float* cos, const float* sin, void* output,
                           const HeadStrides& output_strides, cudaStream_t stream);
// The gradient of that: turned back by the same angles.
cudaError_t rotary_backward(const RotaryShape& shape, const void* grad_output, const HeadStrides& output_strides, const float* cos, const float* sin,
                            void* grad_input, const HeadStrides& input_strides, cudaStream_t stream);

}  // namespace gsnake::kernels
