// How a commit and a snapshot become durable, in every directory of the run.
#pragma once

#include <span>
#include <string>

#include "store/manifest/checksum_table.h"
#include "store/state.h"

namespace gsnake::store {

// fdatasync of every state file, the paths at once. Throws Error(storage), and then at every later call.
void sync_state(StoreState& state);

// A commit or a snapshot as it is to be written: `committed` with a manifest of this store's layout and paths, and a reference to `table`
// (a file name; the manifest has none when `checksums` is empty). Throws Error(usage) for checksums that do not tile the state.
std::shared_ptr<const Committed> make_record(const StoreState& state, std::uint64_t generation, const Commit& commit,
                                             const std::string& table);

// The table and then the manifest NAME.tmp of `record` in each of `directories`: their bytes are on the drives, new names not yet. Throws
// Error(storage).
void stage_record(StoreState& state, std::span<const std::string> directories, const std::string& name, const Committed& record);

enum class Previous : std::uint8_t { keep, leave };

// Makes what was staged in each of `directories` count; with Previous::keep, what NAME was before stays as kPreviousName. Throws Error(storage).
void publish_record(StoreState& state, std::span<const std::string> directories, const std::string& name, Previous previous);

// Both, all staged before the first is published. The order makes every kill and power cut leave the old or the new one in each directory: see
// docs/storage.md.
void write_record(StoreState& state, std::span<const std::string> directories, const std::string& name, const Committed& record,
                  Previous previous);

}  // namespace gsnake::store
