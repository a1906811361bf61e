// The files that a run writes beside its state.
#pragma once

#include <string>

#include "greedysnake/config.h"

namespace gsnake::run {

// run.metrics and run.trace are relative to run.dir.
std::string output_path(const Config& config, const std::string& name);

// Refuses a metrics or trace file that could not be written, or that holds what no run wrote, before anything is made or discarded: creates nothing itself. Throws
// Error(storage), naming the key.
void check_outputs(const Config& config);

}  // namespace gsnake::run
