#include "data/batches.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

namespace gsnake::data {

namespace {

std::vector<Part> whole(TokenSource tokens, std::int64_t sequence_length) {
  std::vector<Part> parts;
  parts.push_back({Windows(std::move(tokens), sequence_length, Documents::joined), 0, 0, 1.0});
  parts.front().count = parts.front().windows.count();
  return parts;
}

std::vector<double> weights_of(const std::vector<Part>& parts) {
  std::vector<double> weights;
  for (const auto& part : parts) weights.push_back(part.weight);
  return weights;
}

// The first part's orders are those of a single one.
std::uint64_t seed_of(std::uint64_t seed, std::size_t part) { return seed + part * 0x9e3779b97f4a7c15; }

}  // namespace

BatchStream::BatchStream(TokenSource tokens, BatchShape shape, WindowOrder order, std::uint64_t seed)
    : BatchStream(whole(std::move(tokens), shape.sequence_length), shape, order, seed) {}

BatchStream::BatchStream(std::vector<Part> parts, BatchShape shape, WindowOrder order, std::uint64_t seed)
    : mixture_(weights_of(parts), seed), shape_(shape), order_(order) {
  sources_.reserve(parts.size());
  for (auto& part : parts) {
    const auto own_seed = seed_of(seed, sources_.size());
    const auto count = part.count;
    sources_.push_back({std::move(part), own_seed, 0, Permutation(count, own_seed, 0)});
  }
}

std::uint64_t BatchStream::window_at(Source& source, std::uint64_t index) {
  const auto pass = index / source.part.count;
  const auto place = index % source.part.count;
  if (order_ == WindowOrder::sequential) return source.part.first + place;
  if (pass != source.pass) {
    source.permutation = Permutation(source.part.count, source.seed, pass);
    source.pass = pass;
  }
  return source.part.first + source.permutation(place);
}

void BatchStream::next(Batch& batch) {
  const auto rows = static_cast<std::uint64_t>(shape_.micro_batches * shape_.rows);
  const auto length = static_cast<std::size_t>(shape_.sequence_length * sources_.front().part.windows.rows());  // of a window
  batch.inputs.resize(rows * length);
  batch.labels.resize(rows * length);
  const bool packed = sources_.front().part.windows.documents() == Documents::packed;
  batch.starts.resize(packed ? rows : 0);
  for (std::uint64_t row = 0; row < rows; ++row) {
    const auto draw = mixture_(cursor_ + row);
    auto& source = sources_[draw.source];
    source.part.windows.read(window_at(source, draw.index), std::span(batch.inputs).subspan(row * length, length),
                             std::span(batch.labels).subspan(row * length, length), packed ? &batch.starts[row] : nullptr);
  }
  cursor_ += rows;
}

std::uint64_t BatchStream::windows() const noexcept {
  return std::accumulate(sources_.begin(), sources_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Source& source) { return sum + source.part.count; });
}

std::uint64_t BatchStream::windows_once(std::uint64_t wanted) {
  if (sources_.size() == 1) return std::min(wanted, windows());
  for (std::uint64_t draws = 0; draws < wanted; ++draws) {
    const auto draw = mixture_(draws);
    if (draw.index >= sources_[draw.source].part.count) return draws;
  }
  return wanted;
}

}  // namespace gsnake::data
