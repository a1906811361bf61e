// What makes the bytes on SSD a training checkpoint: a small JSON file, valid as a whole or not at all.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "io/durable.h"

namespace gsnake::store {

struct Manifest {
  std::string run_id;
  std::uint64_t generation = 0;  // grows with every commit; the newest valid copy wins
  nlohmann::json storage;        // written by the store: slot, table of checksums, layout, stripe weights, paths
  nlohmann::json training;       // written by the trainer: step, counters, data cursor, config
};

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kPreviousName = "manifest.previous.json";  // the commit before, in the same form
inline constexpr const char* kStagedName = "manifest.json.tmp";         // the commit to come, likewise
[[nodiscard]] std::string snapshot_name(int place);                     // a commit that was put aside, in the same form

// The slot that the state of the manifest stands in. Throws Error(storage) where it does not say.
[[nodiscard]] int slot_of(const Manifest& manifest);

// Which of the run's SSD paths this copy lies on; none in a run directory that is no SSD path.
[[nodiscard]] std::optional<std::size_t> path_index_of(const Manifest& manifest);

// Three steps, so that all copies are staged before the first one is published. Each throws Error(storage).
// NAME.tmp, synced, with the XXH3 checksum of its body. Strings are UTF-8.
void stage_manifest(io::SyncOps& sync, const std::string& directory, const std::string& name, const Manifest& manifest);
// Gives the manifest that stands there its second name, kPreviousName. Without a manifest, does nothing. Not synced.
void keep_previous_manifest(io::SyncOps& sync, const std::string& directory);
// Renames NAME.tmp to NAME and syncs the directory. What stood there before still stands after a failure, unless it was the sync's.
void publish_manifest(io::SyncOps& sync, const std::string& directory, const std::string& name);

// Nothing where there is none; throws Error(storage) that names the file when it is torn or not ours. Does not look at its table.
std::optional<Manifest> read_manifest(const std::string& directory, const std::string& name = kManifestName);
// Whether a file of that name is written, replaced or removed by commits and snapshots: manifests and tables, and what they are made of.
[[nodiscard]] bool names_commit_file(const std::string& name);
// Whether there is a commit or the one before it, valid or not.
[[nodiscard]] bool holds_manifest(const std::string& directory);
// Whether something was staged as kManifestName and not published, valid or not.
[[nodiscard]] bool holds_staged_manifest(const std::string& directory);
// Every manifest and snapshot manifest, synced; then their tables, synced. Absent ones are fine. Throws Error(storage).
void remove_manifests(io::SyncOps& sync, const std::string& directory);

}  // namespace gsnake::store
