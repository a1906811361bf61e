// Measures the machine: what `gsnake plan` knows of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/device.h"
#include "greedysnake/choices.h"
#include "io/file.h"
#include "measure/share_fit.h"
#include "optim/formats.h"
#include "sim/profile.h"

namespace gsnake::measure {

struct MeasureRequest {
  std::vector<std::string> ssd_paths;  // each is measured in the nearest folder that is there; none: no drives in the profile
  EngineChoice engine = EngineChoice::automatic;
  io::DirectIo direct = io::DirectIo::automatic;
  bool checked = true;                      // checksums of what is read and written (ssd.verify)
  std::uint64_t block_bytes = 4ULL << 20;   // that the executor moves at a time; a multiple of 4096
  std::uint64_t file_bytes = 256ULL << 20;  // on each path at most; less where there is little room
  std::uint64_t memory_bytes = 0;           // for copies, updates and bandwidth, one after another; 0: twice the last cache, within reason
  unsigned optimizer_threads = 0;           // 0: half of the cores
  optim::WeightFormat weights = optim::WeightFormat::fp32;  // that the run stores
  device::Device* device = nullptr;                         // that is copied to and from; null: the CPU
  std::string device_name = "cpu";                          // what computes, for the profile and its key
  std::uint64_t device_memory = 0;                          // for the profile
  // Some tens of milliseconds of what the run computes: a unit's forward and backward. None: nothing is said of what computing shares.
  std::function<void()> compute;
  unsigned compute_threads = 0;  // of the host that it keeps busy at most; 0: all cores; a GPU's: 1
  // That it should take; above 0, 60 at most. Drives that take seconds over a block, and a `compute` that takes long, add to it.
  double seconds = 25.0;
  // Told each part before it begins. What it throws ends the measurement, of which then nothing is left.
  std::function<void(const std::string& what)> progress;
};

struct Measurement {
  sim::MachineProfile profile;         // without compute's rates and units, which the caller adds
  std::vector<FittedPair> contention;  // measured, and as the profile's shares have it; empty without `compute`
  double others_cores = 0.0;           // that other programs kept busy meanwhile: with many, the figures are of a machine that is shared
};

// Leaves no file behind, however it ends. Throws Error(usage) for a request that is none, Error(storage) naming a path that can't be
// measured.
Measurement measure_machine(const MeasureRequest& request);

}  // namespace gsnake::measure
