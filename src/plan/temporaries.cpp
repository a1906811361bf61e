#include "plan/temporaries.h"

#include <algorithm>
#include <cmath>

#include "plan/compute_dtype.h"

namespace gsnake::plan {
namespace {

constexpr double kMargin = 1.1;
constexpr std::uint64_t kSlack = 1ULL << 20;
constexpr double kBeyondMeasured = 1.03;

double slope(const MeasuredPeak& from, const MeasuredPeak& to) {
  return (static_cast<double>(to.bytes) - static_cast<double>(from.bytes)) / static_cast<double>(to.tokens - from.tokens);
}

}  // namespace

std::uint64_t peak_at(const PeakCurve& curve, std::int64_t tokens) {
  const auto above = std::find_if(curve.begin(), curve.end(), [&](const MeasuredPeak& point) { return point.tokens >= tokens; });
  if (above == curve.begin()) return curve.front().bytes;
  if (above != curve.end() && above->tokens == tokens) return above->bytes;
  const MeasuredPeak& below = *std::prev(above);
  const auto more = static_cast<double>(tokens - below.tokens);
  if (above != curve.end()) return below.bytes + static_cast<std::uint64_t>(std::ceil(std::max(0.0, slope(below, *above)) * more));
  const MeasuredPeak origin{0, 0};
  const double last = curve.size() > 1 ? slope(curve[curve.size() - 2], below) : slope(origin, below);
  return below.bytes + static_cast<std::uint64_t>(std::ceil(std::max(0.0, last) * more * kBeyondMeasured));
}

std::uint64_t least_peak(const Config& config, const ModelLayout& layout, Purpose purpose, Dtype compute) {
  const std::int64_t tokens = tokens_of(config, purpose);
  const auto elements = [](std::int64_t rows, std::int64_t columns) {
    return static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(columns);
  };
  const std::uint64_t states = purpose == Purpose::train ? 2 * elements(tokens, layout.hidden) : elements(tokens, layout.hidden);
  const std::uint64_t logits = elements(std::min(tokens, config.train.head_chunk), layout.vocab);
  return std::max(states, logits) * dtype_bytes(compute);
}

std::uint64_t least_kept(const Config& config, const ModelLayout& layout, std::size_t shape, Dtype compute) {
  std::int64_t width = layout.hidden;
  const UnitShape& of = layout.shapes[shape];
  for (const optim::FlatLayout* flat : {&of.flat, &of.frozen}) {
    std::int64_t widest = 0;  // of several that are multiplied with one input
    for (const optim::FlatParameter& parameter : flat->parameters) {
      if (parameter.info.sizes.size() == 2) widest = std::max(widest, parameter.info.sizes[1]);
    }
    width += widest;
  }
  const std::int64_t tokens = tokens_of(config, Purpose::train) / passes_of(config, Purpose::train);
  return static_cast<std::uint64_t>(tokens * width) * dtype_bytes(compute);
}

std::uint64_t charge_of(std::uint64_t peak_bytes) { return static_cast<std::uint64_t>(static_cast<double>(peak_bytes) * kMargin) + kSlack; }

std::uint64_t peak_within(std::uint64_t charge) {
  return charge > kSlack ? static_cast<std::uint64_t>(static_cast<double>(charge - kSlack) / kMargin) : 0;
}

}  // namespace gsnake::plan
