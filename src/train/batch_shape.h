// What a batch must be, and what its loss is the mean over.
#pragma once

#include <cstdint>

#include "greedysnake/batch.h"
#include "torch/backend.h"

namespace gsnake::train {

// Throws Error(usage) for a batch of another size than so many micro-batches of the shape's, or with documents that can't be in its rows.
void check_batch(const Batch& batch, std::int64_t micro_batches, const backend::ComputeShape& shape);

// Labels that are not kIgnoredLabel.
std::int64_t counted_tokens(const Batch& batch);

// 1 / what the step's loss is the mean over: its counted `tokens` or, of preferences, the pairs that have some.
float loss_factor(const Batch& batch, std::int64_t tokens, const backend::ComputeShape& shape);

}  // namespace gsnake::train
