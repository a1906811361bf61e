// What of a machine's profile a run meets, and by which names its units' times are kept there.
#pragma once

#include <string>

#include "greedysnake/config.h"
#include "plan/compute_dtype.h"
#include "plan/model_layout.h"
#include "sim/machine.h"

namespace gsnake::plan {

// Of all that a unit's time depends on beside the machine: its parameters, what the family computes with them, rows and tokens of a
// micro-batch, dtypes, threads. Units of one shape have one key.
std::string unit_key(const Config& config, const ModelLayout& layout, std::size_t unit, NativeDtypes native);

sim::Workload workload_of(const Config& config, const ModelLayout& layout, NativeDtypes native);

// What a rank of the config's has of that machine (sim::share_of()).
sim::MachineProfile profile_of_rank(const sim::MachineProfile& machine, const Config& config);

// Intra-op threads of the CPU device.
int compute_threads(const Config& config);

}  // namespace gsnake::plan
