// How fast tasks get on that need the same things at the same time.
#pragma once

#include <array>

#include "sim/machine.h"

namespace gsnake::sim {

using LaneCounts = std::array<int, kLaneCount>;    // tasks that are under way
using LaneSpeeds = std::array<double, kLaneCount>;  // of each of a lane's tasks: 1 is as if it were alone

// All speeds grow alike (but for Machine::favour) until a resource is used up; whoever uses that one stays there, and the others grow on (max-min
// fair).
LaneSpeeds speeds_of(const Machine& machine, const LaneCounts& under_way);

}  // namespace gsnake::sim
