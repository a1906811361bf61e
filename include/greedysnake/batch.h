// The tokens of a step, as a trainer takes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnake {

inline constexpr std::int64_t kIgnoredLabel = -100;  // of a token that the loss does not count

// One step's tokens, or any number of micro-batches for validation: (micro_batches, micro_batch_size, sequence_length), row-major. labels[i]
// is the token that follows inputs[i], or kIgnoredLabel. Of preference pairs, (micro_batches, micro_batch_size, 2, sequence_length), the preferred
// answer first: prompts and filled-up tails are no labels.
struct Batch {
  std::vector<std::int64_t> inputs;
  std::vector<std::int64_t> labels;
  // Of packed documents: by row, (micro_batches x micro_batch_size) of them, the positions in the row where a document begins, ascending, the first
  // of them 0; a filled-up tail counts as one more. Empty: every row is one.
  std::vector<std::vector<std::int32_t>> starts;
};

// The same over memory that somebody else owns.
struct BatchView {
  BatchView(const Batch& batch) : inputs(batch.inputs), labels(batch.labels), starts(batch.starts) {}  // NOLINT(google-explicit-constructor)
  BatchView(std::span<const std::int64_t> inputs_, std::span<const std::int64_t> labels_, std::span<const std::vector<std::int32_t>> starts_ = {})
      : inputs(inputs_), labels(labels_), starts(starts_) {}

  std::span<const std::int64_t> inputs;
  std::span<const std::int64_t> labels;
  std::span<const std::vector<std::int32_t>> starts;
};

}  // namespace gsnake
