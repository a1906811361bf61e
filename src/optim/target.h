// Which instruction set the module's loops run on: chosen at run time, the same bits on each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gsnake::optim {

enum class Target : std::uint8_t { best, scalar };

// Names of the targets that this CPU can run, best first, "scalar" last. SIMD targets without native fused multiply-add are left out.
std::vector<std::string> supported_targets();
// Makes Target::best mean the named one, for the whole process (tests, benchmarks); an empty name returns to run-time dispatch. Throws
// Error(usage) for a name that supported_targets() lacks.
void force_target(const std::string& name);

}  // namespace gsnake::optim
