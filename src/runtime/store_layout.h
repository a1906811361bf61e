// What of a problem's objects stands on SSD.
#pragma once

#include "schedule/problem.h"
#include "store/store.h"

namespace gsnake::runtime {

// Of this rank's part of every object, state in `slots` slots, but what is frozen in one; and the scratch that the problem's map asks for.
// Packed objects are in a base (store::BaseFile), and have nothing here.
store::Layout store_layout(const schedule::Problem& problem, int slots);

}  // namespace gsnake::runtime
