// The slot table of a run that begins or goes on: where its state stands, and the checksums that are known of it.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/state_hashes.h"
#include "runtime/slot_table.h"
#include "schedule/map.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// What the store's state is like when a process starts.
enum class StartState : std::uint8_t {
  fresh,    // initial weights; moments are zero
  checked,  // an earlier run's, to be trained: every piece gets a checksum
  sampled,  // an earlier run's, to be read: weights are checked, if its commit has checksums
};

struct KnownChecksum {
  int extent = 0;  // of the map
  std::uint64_t value = 0;
};

// Of the map's pieces of state: from the store's commit, from what was written (may be null), and else by reading the state, of StartState::sampled the
// weights alone. `progress` (may be empty) is told of the reading. Takes the store's stream_bytes of memory. Throws Error(storage).
std::vector<KnownChecksum> find_checksums(store::Store& store, const schedule::Map& map, const StateHashes* written, StartState state,
                                          const store::SetUpProgress& progress);

// All state stands in the store's committed slot, with these checksums.
void set_up(runtime::SlotTable& slots, const store::Store& store, const std::vector<KnownChecksum>& checksums);

}  // namespace gsnake::checkpoint
