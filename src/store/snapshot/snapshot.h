// Commits that were put aside: their files and what they hold.
#pragma once

#include "store/state.h"

namespace gsnake::store {

// The snapshots of the run that are whole in one of the directories, by place. Warns about others.
SnapshotMap read_snapshots(const StoreState& state);

}  // namespace gsnake::store
