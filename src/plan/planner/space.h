// What a plan chooses among beside micro-batches, moments and budgets: the delay, and what part of what is kept on which tier.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake::plan {

enum class Fraction : std::uint8_t {
  weights_device,
  weights_host,
  optimizer_device,
  optimizer_host,
  activations_device,
  activations_host,
  gradients_host,
  kept_device,
};
inline constexpr std::size_t kFractions = 8;
inline constexpr std::array<const char*, kFractions> kFractionKeys{
    "placement.weights.device",     "placement.weights.host",     "placement.optimizer.device", "placement.optimizer.host",
    "placement.activations.device", "placement.activations.host", "placement.gradients.host", "placement.kept.device"};
// Where in a config each stands.
struct FractionPlace {
  TierFractions PlacementConfig::*tiers;
  double TierFractions::*part;
  template <typename Placement>
  auto& of(Placement& placement) const {
    return placement.*tiers.*part;
  }
};
inline constexpr std::array<FractionPlace, kFractions> kFractionPlaces{{
    {&PlacementConfig::weights, &TierFractions::device},
    {&PlacementConfig::weights, &TierFractions::host},
    {&PlacementConfig::optimizer, &TierFractions::device},
    {&PlacementConfig::optimizer, &TierFractions::host},
    {&PlacementConfig::activations, &TierFractions::device},
    {&PlacementConfig::activations, &TierFractions::host},
    {&PlacementConfig::gradients, &TierFractions::host},
    {&PlacementConfig::kept, &TierFractions::device},
}};
constexpr std::size_t index(Fraction fraction) { return static_cast<std::size_t>(fraction); }
constexpr std::size_t kOfTwoTiers = 6;  // the first ones
constexpr bool is_on_device(std::size_t fraction) { return fraction < kOfTwoTiers ? fraction % 2 == 0 : fraction == index(Fraction::kept_device); }
// The other tier's of the same; of what has one tier alone: kFractions.
constexpr std::size_t sibling(std::size_t fraction) { return fraction < kOfTwoTiers ? fraction ^ 1U : kFractions; }

struct Point {
  double delay = 0.0;
  std::array<double, kFractions> fractions{};

  bool operator==(const Point&) const = default;
  auto operator<=>(const Point&) const = default;
};

// The points that a config leaves open; its micro-batches and moments have been settled.
class Space {
 public:
  // one_memory: as make_problem() has it; then no activations are put on the host.
  explicit Space(Config config, bool one_memory = false);

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] bool is_free(std::size_t fraction) const { return free_[fraction]; }
  [[nodiscard]] bool chooses_delay() const { return chooses_delay_; }
  // The device's share of updates. Not where the CPU is the device: the optimizer's threads are there for them.
  [[nodiscard]] bool chooses_updates() const { return chooses_updates_; }
  // Those to begin with: eighths, or the only one.
  [[nodiscard]] std::vector<double> delays() const;
  // What the config keeps; nothing of what it leaves open.
  [[nodiscard]] Point leanest(double delay) const;
  [[nodiscard]] Config with(const Point& point) const;
  // In hundredths, down, within 0..1; of two tiers whose sum is more than all, the host's share gives way.
  [[nodiscard]] Point rounded(Point point) const;

 private:
  void keep_activations_on_device();

  Config config_;
  std::array<bool, kFractions> free_{};
  Point kept_;
  bool chooses_delay_ = false;
  bool chooses_updates_ = false;
};

}  // namespace gsnake::plan
