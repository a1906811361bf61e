// More slots for a run that exists.
#pragma once

#include "store/state.h"

namespace gsnake::store {

// Lengthens the state files from what `before` needs to what the state's layout needs, preallocated and synced; files that are long enough
// stay. The space is checked first. Throws Error(storage): the files are as they were.
void grow_state_files(const StoreState& state, const Layout& before);

}  // namespace gsnake::store
