#include "train/batch_shape.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "greedysnake/error.h"

namespace gsnake::train {
namespace {

bool is_counted(std::int64_t label) { return label != kIgnoredLabel; }

// Beyond the embedding's rows or the logits' columns: on a GPU such an index ends all work there.
void refuse_ids_beyond(const BatchView& batch, std::int64_t vocab) {
  const auto is_id = [vocab](std::int64_t id) { return id >= 0 && id < vocab; };
  const auto refuse = [&](const char* what, std::ptrdiff_t place, std::int64_t value, const char* or_ignored) {
    throw Error(ErrorKind::usage, std::string(what) + "[" + std::to_string(place) + "] of a batch is " + std::to_string(value) + "; the model's vocabulary has ids from 0 to " + std::to_string(vocab - 1) +
                                      or_ignored);
  };
  const auto input = std::find_if_not(batch.inputs.begin(), batch.inputs.end(), is_id);
  if (input != batch.inputs.end()) refuse("inputs", input - batch.inputs.begin(), *input, "");
  const auto label = std::find_if_not(batch.labels.begin(), batch.labels.end(), [&](std::int64_t id) { return !is_counted(id) || is_id(id); });
  if (label != batch.labels.end()) refuse("labels", label - batch.labels.begin(), *label, ", and -100 for what the loss does not count");
}

}  // namespace

void check_batch(const BatchView& batch, std::int64_t micro_batches, const backend::ComputeShape& shape, std::int64_t vocab) {
  const auto expected = static_cast<std::size_t>(micro_batches * shape.rows * shape.tokens);
  if (batch.inputs.size() != expected || batch.labels.size() != expected) {
    throw Error(ErrorKind::usage, "a batch has " + std::to_string(batch.inputs.size()) + " inputs and " + std::to_string(batch.labels.size()) +
                                      " labels; micro_batches x micro_batch_size x sequence_length = " + std::to_string(expected) + " of each are needed");
  }
  refuse_ids_beyond(batch, vocab);
  if (batch.starts.empty()) return;
  const std::int64_t rows = micro_batches * shape.rows;
  const auto holds = [&](const std::vector<std::int32_t>& row) {
    return !row.empty() && row.front() == 0 && row.back() < shape.tokens && std::adjacent_find(row.begin(), row.end(), std::greater_equal<>()) == row.end();
  };
  if (static_cast<std::int64_t>(batch.starts.size()) == rows && std::all_of(batch.starts.begin(), batch.starts.end(), holds)) return;
  throw Error(ErrorKind::usage, "Batch::starts: give each of the " + std::to_string(rows) + " rows the ascending places below " + std::to_string(shape.tokens) +
                                    " where a document begins, the first 0, or leave it empty");
}

std::int64_t counted_tokens(const BatchView& batch) { return std::count_if(batch.labels.begin(), batch.labels.end(), is_counted); }

std::int64_t loss_count(const BatchView& batch, std::int64_t tokens, const backend::ComputeShape& shape) {
  if (shape.passes == 1) return tokens;
  const auto pair = static_cast<std::ptrdiff_t>(2 * shape.tokens);
  std::int64_t count = 0;
  for (auto begin = batch.labels.begin(); begin != batch.labels.end(); begin += pair) count += std::any_of(begin, begin + pair, is_counted) ? 1 : 0;
  return count;
}

Batch pass_of(const BatchView& batch, std::size_t first, std::size_t per_pass, const backend::ComputeShape& shape) {
  const std::size_t size = std::min(per_pass, batch.inputs.size() - first);
  const auto of = [&](std::span<const std::int64_t> ids) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
    return std::vector<std::int64_t>(begin, begin + static_cast<std::ptrdiff_t>(size));
  };
  Batch pass;
  pass.inputs = of(batch.inputs);
  pass.labels = of(batch.labels);
  pass.inputs.resize(per_pass, 0);
  pass.labels.resize(per_pass, kIgnoredLabel);
  if (batch.starts.empty()) return pass;
  const auto rows_of = [&](std::size_t elements) { return elements / static_cast<std::size_t>(shape.tokens); };
  const auto begin = batch.starts.begin() + static_cast<std::ptrdiff_t>(rows_of(first));
  pass.starts.assign(begin, begin + static_cast<std::ptrdiff_t>(rows_of(size)));
  pass.starts.resize(rows_of(per_pass), {0});
  return pass;
}

float loss_factor(std::int64_t count) { return static_cast<float>(1.0 / static_cast<double>(std::max<std::int64_t>(count, 1))); }

}  // namespace gsnake::train
