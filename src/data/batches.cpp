#include "data/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "greedysnake/error.h"

namespace gsnake::data {

namespace {

std::uint64_t count_windows(const TokenSource& tokens, std::int64_t sequence_length) {
  if (tokens.size() < sequence_length + 1) {
    throw Error(ErrorKind::input,
                fmt::format("{}: {} tokens do not fill one row; train.sequence_length = {} needs {}: add text or lower it",
                            tokens.describe(), tokens.size(), sequence_length, sequence_length + 1));
  }
  return static_cast<std::uint64_t>((tokens.size() - 1) / sequence_length);
}

}  // namespace

BatchStream::BatchStream(TokenSource tokens, BatchShape shape, WindowOrder order, std::uint64_t seed)
    : tokens_(std::move(tokens)),
      shape_(shape),
      order_(order),
      seed_(seed),
      windows_(count_windows(tokens_, shape.sequence_length)),
      permutation_(windows_, seed, 0),
      window_(static_cast<std::size_t>(shape.sequence_length) + 1) {}

std::uint64_t BatchStream::window_at(std::uint64_t cursor) {
  const auto epoch = cursor / windows_;
  const auto index = cursor % windows_;
  if (order_ == WindowOrder::sequential) return index;
  if (epoch != epoch_) {
    permutation_ = Permutation(windows_, seed_, epoch);
    epoch_ = epoch;
  }
  return permutation_(index);
}

void BatchStream::next(Batch& batch) {
  const auto rows = static_cast<std::uint64_t>(shape_.micro_batches * shape_.rows);
  const auto length = static_cast<std::size_t>(shape_.sequence_length);
  batch.inputs.resize(rows * length);
  batch.labels.resize(rows * length);
  for (std::uint64_t row = 0; row < rows; ++row) {
    tokens_.read(static_cast<std::int64_t>(window_at(cursor_ + row)) * shape_.sequence_length, window_);
    const auto at = static_cast<std::ptrdiff_t>(row * length);
    std::copy(window_.begin(), window_.end() - 1, batch.inputs.begin() + at);
    std::copy(window_.begin() + 1, window_.end(), batch.labels.begin() + at);
  }
  cursor_ += rows;
}

}  // namespace gsnake::data
