// RMSNorm (Zhang and Sennrich, 2019) as src/model/layers.h has it, in one launch each way: y = weight * round(x * scale), scale = 1 / sqrt(mean(x^2) + epsilon).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

struct RmsNormShape {
  std::int64_t rows = 0;
  std::int64_t hidden = 0;  // of a row, which is contiguous; rows lie one after another
  float epsilon = 1e-5F;
  Dtype dtype = Dtype::fp32;  // of x, weight, y and their gradients
};

// Of all: device pointers, aligned as their type is (to 16 bytes, with rows of whole 16 bytes: faster); in stream order; returns what the first launch that
// failed returned. Computed in fp32; where `dtype` has 16 bits, x * scale is rounded to it before the weight's factor, as LibTorch's operators
// round there. The same bits on every launch.

// y (rows, hidden) may be x. scale: fp32 per row, for backward; null: nobody asks.
cudaError_t rms_norm_forward(const RmsNormShape& shape, const void* x, const void* weight, void* y, float* scale, cudaStream_t stream);

// grad_x (rows, hidden) is overwritten and may be grad_y or x; null: nobody asks. grad_weight, fp32 (hidden), is added to: sums of rows in fp32, first over runs
// of rows, then over those; null: nobody asks. x and scale as forward had and gave them.
// workspace: device memory of rms_norm_workspace_bytes(shape), aligned to 16 bytes, free again when the stream has come here; null without grad_weight.
cudaError_t rms_norm_backward(const RmsNormShape& shape, const void* x, const void* weight, const float* scale, const void* grad_y, void* grad_x, float* grad_weight, void* workspace, cudaStream_t stream);
std::size_t rms_norm_workspace_bytes(const RmsNormShape& shape);

}  // namespace gsnake::kernels
