// Sums of squares of gradients for the global norm, with the bits of optim::square_sums() whatever the launch: alone, and in the pass that adds the last
// micro-batch's gradient.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

// Elements of one partial sum (optim::kNormBlock).
inline constexpr std::int64_t kNormBlock = 2048;

// Of both: device pointers, aligned as their type is (to 16 bytes: faster); in stream order; returns what the launch returned.
// `partials`: a sum of squares in double per block of kNormBlock elements, ceil(count / kNormBlock) in all; a last block that is not whole counts as
// if zeros followed. A non-finite element, and nothing else, makes its block's sum non-finite. `nonfinite`: one word, set to 1 if any sum is,
// else left alone; null: nobody asks.
cudaError_t square_sums(const float* gradient, std::int64_t count, double* partials, std::uint32_t* nonfinite, cudaStream_t stream);

// sum[i] += addend[i], an array of `dtype`, as optim::add_in_place(); partials and nonfinite are those of the new sum. No overlap.
cudaError_t accumulate(float* sum, const void* addend, Dtype dtype, std::int64_t count, double* partials, std::uint32_t* nonfinite, cudaStream_t stream);

}  // namespace gsnake::kernels
