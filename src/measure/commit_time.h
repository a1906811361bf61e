// What making a commit durable takes beside its data.
#pragma once

#include <string>
#include <vector>

#include "io/durable.h"

namespace gsnake::measure {

// Seconds, the median of a few: all that a commit syncs and writes anew (docs/storage.md) of fp32 weights and two moments, with the run's folder on the first
// path's drive. Leaves nothing there. Throws Error(storage).
double commit_seconds(const std::vector<std::string>& paths, io::SyncOps& sync = io::kernel_sync());

}  // namespace gsnake::measure
