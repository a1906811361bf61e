// Cross-entropy of one chunk of tokens (src/model/unit_ops.h): losses, and the logits' gradient where the logits were, so that they exist once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

struct CrossEntropyShape {
  std::int64_t rows = 0;  // token rows of the chunk
  std::int64_t vocab = 0;
  Dtype dtype = Dtype::fp32;         // of the logits
  std::int64_t ignored_label = -100; // rows so labelled have no loss and a gradient of 0
};

// logits (rows, vocab), labels (rows) int64: device pointers, aligned as their type is (logits to 16 bytes, and rows of whole 16 bytes: faster). *loss,
// a double in device memory, is added to: fp32(sum of the rows' losses) times `scale` in fp32, as HeadPass has it. Computed in fp32, the rows' sum in
// double, in one order. With `gradient_factor` (the loss scale) logits become (softmax - one at the label) * scale * gradient_factor, rounded once; where it is
// 0 they stay as they are, for losses alone. A label that is neither ignored nor below vocab makes the loss a NaN.
// workspace: device memory of cross_entropy_workspace_bytes(shape), aligned to 16 bytes, free again when the stream has come here. In stream order, nothing
// is read on the host; returns what the first launch that failed returned.
cudaError_t cross_entropy(const CrossEntropyShape& shape, void* logits, const std::int64_t* labels, float scale, float gradient_factor, double* loss,
                          void* workspace, cudaStream_t stream);
std::size_t cross_entropy_workspace_bytes(const CrossEntropyShape& shape);

}  // namespace gsnake::kernels
