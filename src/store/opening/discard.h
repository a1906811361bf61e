// Taking a run's files away, for another run in its folders or for good.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/durable.h"
#include "store/folder/footprint.h"
#include "store/folder/pin.h"

namespace gsnake::store {

// Of the run in `directories`, whichever of them was its first: held while these live. `waiting` as of Pin::exclude_readers().
std::vector<Pin> exclude_readers_of(const std::vector<std::string>& directories, const std::function<void()>& waiting);

// From here on the run in `directories`, which are locked, is gone: its manifests first, so that no kill leaves one that describes other bytes; before them
// the claims, so that what a kill leaves is known for ours. The claims stay, and are `footprint`'s. Throws Error(storage).
void discard_run(io::SyncOps& sync, const std::vector<std::string>& directories, Footprint& footprint);

}  // namespace gsnake::store
