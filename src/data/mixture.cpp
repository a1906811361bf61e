#include "data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gsnake::data {

namespace {

constexpr std::uint64_t kLongestBlock = 1 << 16;
constexpr double kExact = 1e-9;  // weights are written in decimals
constexpr std::uint64_t kOwnSeed = 0x6d69787475726573;  // apart from the orders of the sources' windows

// How many draws of a block of `size` are whose; empty where a share is no whole number of draws.
std::vector<std::uint64_t> exact_quotas(const std::vector<double>& shares, std::uint64_t size) {
  std::vector<std::uint64_t> quotas;
  for (const double share : shares) {
    const double wanted = share * static_cast<double>(size);
    if (std::abs(wanted - std::round(wanted)) > kExact * static_cast<double>(size) || std::round(wanted) < 1.0) return {};
    quotas.push_back(static_cast<std::uint64_t>(std::round(wanted)));
  }
  return std::accumulate(quotas.begin(), quotas.end(), std::uint64_t{0}) == size ? quotas : std::vector<std::uint64_t>{};
}

std::vector<std::uint64_t> quotas_of(std::span<const double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> shares;
  for (const double weight : weights) shares.push_back(weight / sum);
  for (std::uint64_t size = weights.size(); size <= kLongestBlock; ++size) {
    if (auto quotas = exact_quotas(shares, size); !quotas.empty()) return quotas;
  }
  std::vector<std::uint64_t> nearest;
  for (const double share : shares) {
    nearest.push_back(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(share * static_cast<double>(kLongestBlock)))));
  }
  return nearest;
}

}  // namespace

Mixture::Mixture(std::span<const double> weights, std::uint64_t seed) : seed_(seed ^ kOwnSeed), starts_{0}, permutation_(1, 0, 0) {
  for (const auto quota : quotas_of(weights)) starts_.push_back(starts_.back() + quota);
  permutation_ = Permutation(block(), seed_, 0);
}

Mixture::Draw Mixture::operator()(std::uint64_t draw) {
  if (starts_.size() == 2) return {0, draw};
  const auto number = draw / block();
  if (number != current_) {
    permutation_ = Permutation(block(), seed_, number);
    current_ = number;
  }
  const auto place = permutation_(draw % block());
  const auto source = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), place) - starts_.begin()) - 1;
  return {source, number * quota(source) + place - starts_[source]};
}

}  // namespace gsnake::data
