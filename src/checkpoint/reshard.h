// A run of some number of ranks as one of another: each new rank reads its share from the old ranks' folders into a store of its own.
//
// Whoever changes the number, on each new rank:
//   1. find_runs(), choose_run(); rank 0: store::ReplacedRun over what was chosen, so that nobody trains it meanwhile
//   2. open_reader(); refuse_changes() (resume.h); Store::create() of the own folders, with `overwrite` (what was not chosen may stand there)
//   3. reshard(); Store::prepare() of what it returns; all ranks agree that they have; Store::publish()
//   4. the reader ends; all ranks agree that it has; rank 0: ReplacedRun::remove(), then what folders_of_other_runs() names, as at every start of a run
// Before every rank has prepared, the old ranks' commit is the run; from then on the new ranks' is.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "greedysnake/config.h"
#include "schedule/map.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// What the new store's first commit says.
struct Resharded {
  nlohmann::json training;                 // of the old commit, as one of this rank
  std::vector<store::Checksum> checksums;  // of all state, in the map's pieces
};

// Streams what this rank owns, as map.problem says, of all state from the last commit of `from` into slot 0 of `to`, which was just created for that problem
// and holds zeros. Bytes are compared with their checksums before this returns, and hashed anew in memory on their way. Takes stream_bytes() of both. What
// `progress` (may be empty) throws ends it. Throws Error(storage); Error(usage) where `from` has other state than the problem.
Resharded reshard(store::Store& from, store::Store& to, const schedule::Map& map, const RanksConfig& ranks, const store::ByteProgress& progress);

}  // namespace gsnake::checkpoint
