#include "measure/share_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "schedule/footprint.h"
#include "sim/speeds.h"

namespace gsnake::measure {
namespace {

using schedule::Lane;

constexpr int kSteps = 40;  // of each share that is sought
constexpr double kPriorWeight = 0.01;
constexpr std::array kCopyTraffic{2.0, 3.0};  // bytes that cross memory's bus for each that one thread copies

constexpr std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }

std::vector<Lane> lanes_of(Partner partner) {
  switch (partner) {
    case Partner::optimizer:
      return {Lane::optimizer};
    case Partner::drives:
      return {Lane::ssd_read, Lane::ssd_write};
    case Partner::copies:
      return {Lane::h2d, Lane::d2h};
  }
  return {};
}

// Bytes a second of some lanes' tasks, as many as there can be.
double rate_of(const sim::Machine& machine, const sim::LaneSpeeds& speeds, const sim::LaneCounts& counts, std::span<const Lane> lanes) {
  double rate = 0.0;
  for (const Lane lane : lanes) rate += speeds[index(lane)] * counts[index(lane)] * machine.rates[index(lane)];
  return rate;
}

Pair pair_on(const sim::Machine& machine, Partner partner) {
  const std::vector<Lane> lanes = lanes_of(partner);
  sim::LaneCounts computes{};
  computes[index(Lane::compute)] = 1;
  sim::LaneCounts others{};
  for (const Lane lane : lanes) others[index(lane)] = machine.lane(lane).at_once;
  sim::LaneCounts both = others;
  both[index(Lane::compute)] = 1;
  const sim::LaneSpeeds compute_alone = sim::speeds_of(machine, computes);
  const sim::LaneSpeeds others_alone = sim::speeds_of(machine, others);
  const sim::LaneSpeeds together = sim::speeds_of(machine, both);
  return {partner, together[index(Lane::compute)] / compute_alone[index(Lane::compute)],
          rate_of(machine, together, both, lanes) / rate_of(machine, others_alone, others, lanes)};
}

// The rate of computing matters to no pair, but has to be there.
sim::Machine machine_with_some_compute(const sim::MachineProfile& profile, const sim::Workload& workload) {
  sim::MachineProfile computing = profile;
  computing.compute.rates = {{workload.computes_in, 1.0, 0.0}};
  return sim::machine_of(computing, workload);
}

double squared_log(double a, double b) {
  const double difference = std::log(a / b);
  return difference * difference;
}

double error_of(const sim::Machine& machine, const std::vector<Pair>& pairs) {
  double error = 0.0;
  for (const Pair& pair : pairs) {
    const Pair modelled = pair_on(machine, pair.partner);
    error += squared_log(modelled.compute, pair.compute) + squared_log(modelled.other, pair.other);
  }
  return error;
}

// Shares that were tried, and how far they are off.
struct Trial {
  sim::Share compute;
  double copy_dram = 0.0;
  double error = std::numeric_limits<double>::infinity();
};

class Search {
 public:
  Search(const sim::MachineProfile& profile, const sim::Workload& workload, const std::vector<Pair>& pairs, const FitLimits& limits)
      : profile_(profile), workload_(workload), pairs_(pairs), limits_(limits) {}

  Trial best() {
    Trial best;
    const std::vector<double> traffic =
        limits_.copies_on_cpu ? std::vector<double>(kCopyTraffic.begin(), kCopyTraffic.end()) : std::vector{profile_.h2d.share.dram};
    for (const double copy_dram : traffic) {
      set_copy_traffic(copy_dram);
      sim::Machine machine = machine_with_some_compute(profile_, workload_);
      for (int cores = 1; cores <= kSteps; ++cores) {
        for (int dram = 0; dram <= kSteps; ++dram) {
          const Trial trial = error_with(machine, {limits_.compute_threads * cores / kSteps, profile_.cpu.dram * dram / kSteps}, copy_dram);
          if (trial.error < best.error) best = trial;
        }
      }
    }
    return best;
  }

 private:
  void set_copy_traffic(double dram) {
    if (!limits_.copies_on_cpu) return;
    profile_.h2d.share.dram = dram;
    profile_.d2h.share.dram = dram;
  }

  [[nodiscard]] Trial error_with(sim::Machine& machine, const sim::Share& compute, double copy_dram) const {
    sim::PerResource& uses = machine.lanes[index(Lane::compute)].uses;
    uses[static_cast<std::size_t>(sim::Resource::cores)] = compute.cores;
    uses[static_cast<std::size_t>(sim::Resource::dram)] = compute.dram;
    double error = error_of(machine, pairs_);
    if (limits_.compute_cores > 0.0) error += kPriorWeight * squared_log(compute.cores, limits_.compute_cores);
    return {compute, copy_dram, error};
  }

  sim::MachineProfile profile_;
  const sim::Workload& workload_;
  const std::vector<Pair>& pairs_;
  const FitLimits& limits_;
};

}  // namespace

Pair modelled_pair(Partner partner, const sim::MachineProfile& profile, const sim::Workload& workload) {
  return pair_on(machine_with_some_compute(profile, workload), partner);
}

std::vector<FittedPair> fit_compute_share(sim::MachineProfile& profile, const sim::Workload& workload, const std::vector<Pair>& pairs,
                                          const FitLimits& limits) {
  const Trial best = Search(profile, workload, pairs, limits).best();
  profile.compute.share = best.compute;
  if (limits.copies_on_cpu) profile.h2d.share.dram = profile.d2h.share.dram = best.copy_dram;
  std::vector<FittedPair> fitted;
  for (const Pair& pair : pairs) fitted.push_back({pair, modelled_pair(pair.partner, profile, workload)});
  return fitted;
}

const char* name_of(Partner partner) {
  constexpr std::array kNames{"optimizer", "drives", "copies"};
  return kNames[static_cast<std::size_t>(partner)];
}

}  // namespace gsnake::measure
