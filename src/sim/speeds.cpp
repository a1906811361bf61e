#include "sim/speeds.h"

#include <algorithm>

namespace gsnake::sim {
namespace {

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
    for (std::size_t scarce = scarcest(); scarce < kResources; scarce = scarcest()) stop_users_of(scarce);
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (open_[lane]) speeds_[lane] = 1.0;
    }
    return speeds_;
  }

 private:
  // The resource that is used up first, below full speed; kResources: none is.
  std::size_t scarcest() {
    std::size_t first = kResources;
    level_ = 1.0;
    for (std::size_t r = 0; r < kResources; ++r) {
      if (!limited_[r]) continue;
      double wanted = 0.0;
      for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
        if (open_[lane]) wanted += used_by(lane, r);
      }
      if (wanted <= 0.0 || left_[r] >= wanted * level_) continue;
      level_ = left_[r] / wanted;
      first = r;
    }
    level_ = std::max(level_, kLeast);
    return first;
  }

  void stop_users_of(std::size_t scarce) {
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (!open_[lane] || used_by(lane, scarce) <= 0.0) continue;
      open_[lane] = false;
      speeds_[lane] = level_;
      for (std::size_t r = 0; r < kResources; ++r) left_[r] = std::max(0.0, left_[r] - used_by(lane, r) * level_);
    }
  }

  [[nodiscard]] double used_by(std::size_t lane, std::size_t resource) const { return machine_.lanes[lane].uses[resource] * under_way_[lane]; }

  const Machine& machine_;
  const LaneCounts& under_way_;
  PerResource left_{};
  std::array<bool, kResources> limited_{};
  std::array<bool, kLaneCount> open_{};
  LaneSpeeds speeds_{};
  double level_ = 1.0;
};

}  // namespace

LaneSpeeds speeds_of(const Machine& machine, const LaneCounts& under_way) { return WaterLevel(machine, under_way).rise(); }

}  // namespace gsnake::sim
