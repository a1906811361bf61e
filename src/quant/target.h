// Which instruction set the module's loops run on: chosen at run time, the same bits on each.
#pragma once

#include <string>
#include <vector>

namespace gsnake::quant {

// Names of the targets that this CPU can run, best first, "scalar" last.
std::vector<std::string> supported_targets();
// Makes the whole process use the named one (tests, benchmarks); an empty name returns to the best. Throws Error(usage) for a name that
// supported_targets() lacks.
void force_target(const std::string& name);

}  // namespace gsnake::quant
