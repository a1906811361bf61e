// Commits that were put aside: their files and what they hold.
#pragma once

#include "store/state.h"

namespace gsnake::store {

// The snapshots of the run that are whole in one of the directories, by place. Warns about others.
SnapshotMap read_snapshots(const StoreState& state);

// The newest snapshot of that step; nullptr where the last commit itself is of it. Throws Error(usage), with the steps that there are.
std::shared_ptr<const Committed> find_step(const SnapshotMap& snapshots, const Manifest& last, std::int64_t step);

}  // namespace gsnake::store
