// SwiGLU (Shazeer, arXiv 2002.05202): silu(gate) * up, silu(x) = x / (1 + exp(-x)).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

// Of both: device arrays of `count` elements of `dtype`, aligned as it is (all to 16 bytes: faster); computed in fp32 and rounded once; an output may be any
// of the inputs, and may not overlap it otherwise; in stream order; returns what the launch returned.
cudaError_t swiglu_forward(const void* gate, const void* up, void* output, Dtype dtype, std::int64_t count, cudaStream_t stream);
cudaError_t swiglu_backward(const void* gate, const void* up, const void* grad_output, void* grad_gate, void* grad_up, Dtype dtype, std::int64_t count,
                            cudaStream_t stream);

}  // namespace gsnake::kernels
