#include "store/layout/volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "greedysnake/error.h"

namespace gsnake::store {
namespace {

constexpr double kShares = 16.0;  // of the fastest path: finer shares would be noise of the measurement

std::vector<std::uint64_t> stripes_per_period(const std::vector<double>& weights) {
  if (weights.empty()) throw Error(ErrorKind::usage, "ssd.paths is empty; name at least one folder");
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight <= 0.0) {
      throw Error(
          ErrorKind::usage,
          fmt::format("ssd.weights has {}, which is not a positive number; give one per path, in proportion to its bandwidth", weight));
    }
  }
  const double fastest = *std::max_element(weights.begin(), weights.end());
  std::vector<std::uint64_t> counts;
  std::uint64_t divisor = 0;
  for (const double weight : weights) {
    counts.push_back(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(kShares * (weight / fastest)))));
    divisor = std::gcd(divisor, counts.back());
  }
  for (std::uint64_t& count : counts) count /= divisor;
  return counts;
}

}  // namespace

StripedVolume::StripedVolume(const std::vector<double>& weights) : counts_(stripes_per_period(weights)) {
  const std::uint64_t period = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
  // Each stripe goes to the path that is furthest behind its share; ties go to the first. Integers, hence the same everywhere.
  std::vector<std::uint64_t> given(counts_.size(), 0);
  for (std::uint64_t stripe = 0; stripe < period; ++stripe) {
    std::size_t next = 0;
    std::int64_t largest_debt = -1;
    for (std::size_t path = 0; path < counts_.size(); ++path) {
      if (given[path] == counts_[path]) continue;
      const std::int64_t debt = static_cast<std::int64_t>((stripe + 1) * counts_[path]) - static_cast<std::int64_t>(given[path] * period) +
                                static_cast<std::int64_t>(period);
      if (debt > largest_debt) {
        largest_debt = debt;
        next = path;
      }
    }
    pattern_.push_back(static_cast<int>(next));
    ranks_.push_back(given[next]++);
  }
}

int StripedVolume::path_of(std::uint64_t stripe) const { return pattern_[stripe % pattern_.size()]; }

std::uint64_t StripedVolume::file_stripe(std::uint64_t stripe) const {
  const std::uint64_t position = stripe % pattern_.size();
  return stripe / pattern_.size() * counts_[static_cast<std::size_t>(pattern_[position])] + ranks_[position];
}

std::uint64_t StripedVolume::file_bytes(int path, std::uint64_t volume_bytes) const {
  const std::uint64_t whole_stripes = volume_bytes / kStripeBytes;
  const std::uint64_t in_last_period = whole_stripes % pattern_.size();
  std::uint64_t stripes = whole_stripes / pattern_.size() * counts_[static_cast<std::size_t>(path)];
  stripes += static_cast<std::uint64_t>(std::count(pattern_.begin(), pattern_.begin() + static_cast<std::ptrdiff_t>(in_last_period), path));
  const std::uint64_t rest = volume_bytes % kStripeBytes;
  return stripes * kStripeBytes + (path_of(whole_stripes) == path ? rest : 0);
}

Piece StripedVolume::piece_at(std::uint64_t offset, std::uint64_t bytes) const {
  if (counts_.size() == 1) return {0, offset, 0, bytes};
  std::uint64_t stripe = offset / kStripeBytes;
  const std::uint64_t in_stripe = offset % kStripeBytes;
  Piece piece{path_of(stripe), file_stripe(stripe) * kStripeBytes + in_stripe, 0, std::min(bytes, kStripeBytes - in_stripe)};
  while (piece.bytes < bytes && path_of(++stripe) == piece.path) piece.bytes += std::min(bytes - piece.bytes, kStripeBytes);
  return piece;
}

std::size_t StripedVolume::map(std::uint64_t offset, std::uint64_t bytes, std::span<Piece> out) const {
  std::size_t pieces = 0;
  for (std::uint64_t done = 0; done < bytes; ++pieces) {
    out[pieces] = piece_at(offset + done, bytes - done);
    out[pieces].data_offset = done;
    done += out[pieces].bytes;
  }
  return pieces;
}

std::size_t StripedVolume::max_pieces(std::uint64_t bytes) const {
  if (bytes == 0) return 0;
  if (counts_.size() == 1) return 1;
  return static_cast<std::size_t>((bytes + kStripeBytes - 2) / kStripeBytes + 1);
}

}  // namespace gsnake::store
