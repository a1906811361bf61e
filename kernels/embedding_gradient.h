// The gradient of an embedding, without atomic additions: each row of the table adds its tokens' gradients in the order of the tokens, so the bits are those of
// the plain loop over tokens.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

struct EmbeddingShape {
  std::int64_t tokens = 0;  // below 2^31
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;     // rows of the table; below 2^31
  Dtype dtype = Dtype::fp32;  // of grad_output
};

// grad_weight[ids[t]] += grad_output[t] in fp32, t ascending. ids (tokens) int64, grad_output (tokens, hidden), grad_weight fp32 (vocab, hidden): device pointers,
// aligned as their type is (to 16 bytes, with rows of whole 16 bytes: faster), not overlapping. Ids outside the table are passed over. workspace: device memory of
// embedding_workspace_bytes(shape), aligned to 16 bytes, free again when the stream has come here. In stream order, nothing is read on the host; returns
// what the first launch that failed returned, cudaErrorInvalidValue for a shape that is too large.
cudaError_t embedding_gradient(const EmbeddingShape& shape, const std::int64_t* ids, const void* grad_output, float* grad_weight, void* workspace,
                               cudaStream_t stream);
std::size_t embedding_workspace_bytes(const EmbeddingShape& shape);  // 12 bytes a row of the table, 8 a token, and 16

}  // namespace gsnake::kernels
