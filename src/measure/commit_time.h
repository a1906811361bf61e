// What making a commit durable takes beside its data.
#pragma once

#include <string>
#include <vector>

namespace gsnake::measure {

// Seconds, the median of a few: on each path a block is written and synced, all paths at once; then a small file is replaced on each, as
// manifests are. Leaves nothing there. Throws Error(storage).
double commit_seconds(const std::vector<std::string>& paths);

}  // namespace gsnake::measure
