// What a config says of the store.
#pragma once

#include "greedysnake/config.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// Of the rank that the config is for: its own folders.
store::StoreOptions store_options(const Config& config);

// False for benchmarks/checksum_cost alone, whose runs have commits that can't be resumed from.
bool hashes_state();

}  // namespace gsnake::checkpoint
