// How much of what lanes share a unit's forward and backward takes, from how much it and other work slow one another.
#pragma once

#include <string>
#include <vector>

#include "sim/machine.h"
#include "sim/profile.h"

namespace gsnake::measure {

// What computes beside: the optimizer's threads; reads and writes of the drives, as many in flight as there can be; copies both ways.
enum class Partner : std::uint8_t { optimizer, drives, copies };

// Two things at once, each as a part of what it does alone; a partner's lanes together, by bytes.
struct Pair {
  Partner partner = Partner::optimizer;
  double compute = 1.0;
  double other = 1.0;
};

// A pair as it was measured, and as the simulator has it with the profile's shares.
struct FittedPair {
  Pair measured;
  Pair modelled;
};

// What the simulator's rule (sim/speeds.h) makes of a pair.
Pair modelled_pair(Partner partner, const sim::MachineProfile& profile, const sim::Workload& workload);

struct FitLimits {
  double compute_threads = 1.0;
  double compute_cores = 0.0;  // the processors that were busy while it computed alone
  bool copies_on_cpu = true;   // then a copied byte crosses memory's bus twice, or three times where the write reads first: whichever fits
};

// Sets compute.share, and the copies' dram where `copies_on_cpu`. By trying: cores from 1/40 of the threads to all of them, bandwidth from
// none to all of the memory's; the least sum of squared logarithms of modelled over measured counts, and a hundredth of the same for cores
// over `compute_cores`, which decides where no pair tells. All other shares stay as they are.
std::vector<FittedPair> fit_compute_share(sim::MachineProfile& profile, const sim::Workload& workload, const std::vector<Pair>& pairs,
                                          const FitLimits& limits);

const char* name_of(Partner partner);

}  // namespace gsnake::measure
