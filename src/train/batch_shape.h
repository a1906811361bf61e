// What a batch must be, and what its loss is the mean over.
#pragma once

#include <cstdint>

#include "greedysnake/batch.h"
#include "torch/backend.h"

namespace gsnake::train {

// Throws Error(usage) for a batch of another size than so many micro-batches of the shape's, with an id or a label that is none of `vocab`, or with documents that
// can't be in its rows.
void check_batch(const BatchView& batch, std::int64_t micro_batches, const backend::ComputeShape& shape, std::int64_t vocab);

// Labels that are not kIgnoredLabel.
std::int64_t counted_tokens(const BatchView& batch);

// What the step's loss is the mean over: its counted `tokens` or, of preferences, the pairs that have some.
std::int64_t loss_count(const BatchView& batch, std::int64_t tokens, const backend::ComputeShape& shape);
// 1 / that.
float loss_factor(std::int64_t count);

// Micro-batches of a longer batch from its element `first`, as many as `per_pass` elements: the last pass is filled up with some whose labels do not count.
Batch pass_of(const BatchView& batch, std::size_t first, std::size_t per_pass, const backend::ComputeShape& shape);

}  // namespace gsnake::train
