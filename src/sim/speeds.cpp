#include "sim/speeds.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace gsnake::sim {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr auto kReads = static_cast<std::size_t>(Lane::ssd_read);
constexpr auto kWrites = static_cast<std::size_t>(Lane::ssd_write);
constexpr double kLeast = 1e-9;  // of a speed, so that whatever happens ends

class WaterLevel {
 public:
  WaterLevel(const Machine& machine, const LaneCounts& under_way) : machine_(machine), under_way_(under_way) {
    for (int r = 0; r < kResources; ++r) {
      const auto resource = static_cast<Resource>(r);
      const Lane lane = resource == Resource::ssd_write ? Lane::ssd_write : Lane::ssd_read;
      left_[static_cast<std::size_t>(r)] = machine.capacity_of(resource, under_way[static_cast<std::size_t>(lane)]);
      limited_[static_cast<std::size_t>(r)] = left_[static_cast<std::size_t>(r)] > 0.0;
    }
  }

  LaneSpeeds rise() {
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) open_[lane] = under_way_[lane] > 0;
    while (std::any_of(open_.begin(), open_.end(), [](bool open) { return open; })) {
      const std::size_t scarce = next_scarce();
      const std::size_t full = next_at_full_speed();
      const double at_full = full < kLaneCount ? 1.0 / growth(full) : kNever;
      if (scarce < kResources && level_of(scarce) < at_full) {
        stop_users_of(scarce, level_of(scarce));
      } else {
        stop(full, 1.0);
      }
    }
    crowd();
    return speeds_;
  }

 private:
  [[nodiscard]] double growth(std::size_t lane) const {
    if (lane == static_cast<std::size_t>(Lane::compute)) return 1.0;
    return machine_.favour * (lane == kReads || lane == kWrites ? per_byte(lane) : 1.0);
  }

  // A drive serves what is in its queue by turns: of two transfers, a read and a write, it moves as many bytes.
  [[nodiscard]] double per_byte(std::size_t lane) const {
    const bool both = under_way_[kReads] > 0 && under_way_[kWrites] > 0;
    const double fastest = std::max(machine_.rates[kReads], machine_.rates[kWrites]);
    return both && machine_.rates[lane] > 0.0 ? fastest / machine_.rates[lane] : 1.0;
  }

  // At which a resource is used up by those whose speeds still grow.
  [[nodiscard]] double level_of(std::size_t resource) const {
    double wanted = 0.0;
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) wanted += open_[lane] ? growth(lane) * used_by(lane, resource) : 0.0;
    return limited_[resource] && wanted > 0.0 ? left_[resource] / wanted : kNever;
  }

  // kResources: none.
  [[nodiscard]] std::size_t next_scarce() const {
    std::size_t first = kResources;
    for (std::size_t r = 0; r < kResources; ++r) {
      if (level_of(r) < (first == kResources ? kNever : level_of(first))) first = r;
    }
    return first;
  }

  [[nodiscard]] std::size_t next_at_full_speed() const {
    std::size_t first = kLaneCount;
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (open_[lane] && (first == kLaneCount || growth(lane) > growth(first))) first = lane;
    }
    return first;
  }

  void stop_users_of(std::size_t scarce, double level) {
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (open_[lane] && used_by(lane, scarce) > 0.0) stop(lane, std::clamp(growth(lane) * level, kLeast, 1.0));
    }
  }

  void stop(std::size_t lane, double speed) {
    open_[lane] = false;
    speeds_[lane] = speed;
    for (std::size_t r = 0; r < kResources; ++r) left_[r] = std::max(0.0, left_[r] - used_by(lane, r) * speed);
  }

  [[nodiscard]] double used_by(std::size_t lane, std::size_t resource) const { return machine_.lanes[lane].uses[resource] * under_way_[lane]; }

  // Computing threads wait for one another: what others have of the cores costs them more than that.
  void crowd() {
    constexpr auto kCores = static_cast<std::size_t>(Resource::cores);
    constexpr auto kCompute = static_cast<std::size_t>(Lane::compute);
    const double cores = machine_.capacity[kCores];
    if (cores <= 0.0) return;
    double others = 0.0;
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) others += lane == kCompute ? 0.0 : used_by(lane, kCores) * speeds_[lane];
    speeds_[kCompute] /= 1.0 + (machine_.crowding - 1.0) * others / cores;
  }

  const Machine& machine_;
  const LaneCounts& under_way_;
  PerResource left_{};
  std::array<bool, kResources> limited_{};
  std::array<bool, kLaneCount> open_{};
  LaneSpeeds speeds_{};
};

}  // namespace

LaneSpeeds speeds_of(const Machine& machine, const LaneCounts& under_way) { return WaterLevel(machine, under_way).rise(); }

const LaneSpeeds& KnownSpeeds::of(const LaneCounts& under_way) {
  std::uint64_t hash = 0;
  for (const int count : under_way) hash = hash * 31 + static_cast<std::uint64_t>(count);
  Entry& entry = last_[hash % kPlaces];
  if (entry.under_way == under_way) return entry.speeds;
  const auto [found, made] = all_.try_emplace(under_way);
  if (made) found->second = speeds_of(machine_, under_way);
  entry = {under_way, found->second};
  return entry.speeds;
}

}  // namespace gsnake::sim
