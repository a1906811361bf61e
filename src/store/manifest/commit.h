// How a commit and a snapshot become durable, in every directory of the run.
#pragma once

#include <span>
#include <string>

#include "store/manifest/checksum_table.h"
#include "store/state.h"

namespace gsnake::store {

// fdatasync of every state file, the paths at once. Throws Error(storage), and then at every later call: after a failed sync the kernel
// takes what was lost for written.
void sync_state(StoreState& state);

// A commit or a snapshot as it is to be written: `committed` with a manifest of this store's layout and paths, and a reference to `table`
// (a file name; the manifest has none when `checksums` is empty). Throws Error(usage) for checksums that do not tile the state.
std::shared_ptr<const Committed> make_record(const StoreState& state, std::uint64_t generation, const Commit& commit,
                                             const std::string& table);

enum class Previous : std::uint8_t { keep, leave };

// The table and then the manifest NAME of `record`, staged in each of `directories` before it is published in the first; with
// Previous::keep, what NAME was before stays as kPreviousName. The order makes every kill and power cut leave the old or the new one in
// each directory: see docs/storage.md. Throws Error(storage).
void write_record(StoreState& state, std::span<const std::string> directories, const std::string& name, const Committed& record,
                  Previous previous);

}  // namespace gsnake::store
