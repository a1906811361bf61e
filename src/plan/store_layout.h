// What a run has on SSD: a function of the model and, for scratch, of the placement.
#pragma once

#include "greedysnake/config.h"
#include "schedule/problem.h"
#include "store/store.h"

namespace gsnake::plan {

store::Layout make_store_layout(const Config& config, const schedule::Problem& problem);
// How many commits are kept beside the newest.
int snapshot_places(const Config& config);
// Of the store's buffers for long runs of state: used before there are slots, when the host budget is free, and for snapshots, to which they are
// charged.
std::uint64_t stream_bytes(const Config& config);
// The part of it that does not outlive a run.
store::Layout scratch_layout(const store::Layout& layout);

}  // namespace gsnake::plan
