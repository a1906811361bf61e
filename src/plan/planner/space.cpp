#include "plan/planner/space.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plan/numerics.h"

namespace gsnake::plan {
namespace {

constexpr int kDelays = 8;  // steps from nothing to all
constexpr double kHundred = 100.0;

}  // namespace

Space::Space(Config config, bool one_memory) : config_(std::move(config)) {
  PlacementConfig& placement = config_.placement;
  for (std::size_t f = 0; f < kFractions; ++f) free_[f] = (placement.*kFractionPlaces[f].tiers).automatic;
  for (const FractionPlace& place : kFractionPlaces) {
    TierFractions& tiers = placement.*place.tiers;
    if (tiers.automatic) tiers = TierFractions{};
  }
  chooses_updates_ = placement.update.automatic && config_.memory.device != "cpu";
  placement.update.automatic = false;
  const Numerics numerics = numerics_of(config_);
  chooses_delay_ = numerics.guard == schedule::Guard::none && config_.train.delay < 0.0;
  if (numerics.guard == schedule::Guard::speculative) {  // which needs all of both on SSD
    for (const Fraction f : {Fraction::weights_device, Fraction::weights_host, Fraction::optimizer_device, Fraction::optimizer_host})
      free_[index(f)] = false;
  }
  for (std::size_t f = 0; f < kFractions; ++f) kept_.fractions[f] = kFractionPlaces[f].of(placement);
  kept_.delay = numerics.delay;
  if (one_memory) keep_activations_on_device();
}

void Space::keep_activations_on_device() {
  double& device = kept_.fractions[index(Fraction::activations_device)];
  double& host = kept_.fractions[index(Fraction::activations_host)];
  device = std::min(1.0, device + std::exchange(host, 0.0));
  free_[index(Fraction::activations_host)] = false;
}

std::vector<double> Space::delays() const {
  if (!chooses_delay_) return {kept_.delay};
  std::vector<double> delays;
  for (int eighth = 0; eighth <= kDelays; ++eighth) delays.push_back(static_cast<double>(eighth) / kDelays);
  return delays;
}

Point Space::leanest(double delay) const {
  Point point = kept_;
  point.delay = delay;
  return point;
}

Config Space::with(const Point& point) const {
  Config config = config_;
  for (std::size_t f = 0; f < kFractions; ++f) {
    if (free_[f]) kFractionPlaces[f].of(config.placement) = point.fractions[f];
  }
  if (chooses_delay_) config.train.delay = point.delay;
  return config;
}

Point Space::rounded(Point point) const {
  constexpr double kAlmost = 1e-6;  // that solutions of a linear programme may be off by
  for (std::size_t f = 0; f < kFractions; ++f) {
    double& value = point.fractions[f];
    if (!free_[f]) {
      value = kept_.fractions[f];
      continue;
    }
    value = std::clamp(std::floor(value * kHundred + kAlmost) / kHundred, 0.0, 1.0);
    if (sibling(f) < f) value = std::min(value, std::floor((1.0 - point.fractions[sibling(f)]) * kHundred + kAlmost) / kHundred);
  }
  point.delay = chooses_delay_ ? std::clamp(point.delay, 0.0, 1.0) : kept_.delay;
  return point;
}

}  // namespace gsnake::plan
