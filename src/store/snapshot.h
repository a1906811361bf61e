// Commits that were put aside: their files and what they hold.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/state.h"

namespace gsnake::store {

// Of a place: what a manifest names are to a commit.
[[nodiscard]] std::string snapshot_name(int place);
[[nodiscard]] std::string snapshot_table(int place);

// The snapshots of the run that are whole in one of the directories, by place. Warns about others.
SnapshotMap read_snapshots(const StoreState& state);

}  // namespace gsnake::store
