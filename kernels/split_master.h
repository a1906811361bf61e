// fp32 master weights in two halves, as docs/optimizer.md has them: the bits of optim::split_master(), join_master() and to_fp16().
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace gsnake::kernels {

// Of all: device arrays of `count` elements each, aligned as their type is (all to 16 bytes: faster), not overlapping; in stream order; returns what the
// launch returned.

// weight: bf16 nearest to the master, ties away from zero. remainder: bits(master) - (weight << 16), modulo 2^32.
cudaError_t split_master(const float* master, std::uint16_t* weight, std::int16_t* remainder, std::int64_t count, cudaStream_t stream);
// The master's bits again, each of the 2^32 patterns.
cudaError_t join_master(const std::uint16_t* weight, const std::int16_t* remainder, float* master, std::int64_t count, cudaStream_t stream);
// fp16: to nearest, ties to even.
cudaError_t to_fp16(const float* master, std::uint16_t* weight, std::int64_t count, cudaStream_t stream);

}  // namespace gsnake::kernels
