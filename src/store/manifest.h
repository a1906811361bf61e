// What makes the bytes on SSD a training checkpoint: a small JSON file, valid as a whole or not at all.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace gsnake::store {

struct Manifest {
  std::string run_id;
  std::uint64_t generation = 0;  // grows with every commit; the newest valid copy wins
  nlohmann::json storage;        // written by the store: layout, stripe weights, paths
  nlohmann::json training;       // written by the trainer: step, counters, data cursor, slot map, config
};

inline constexpr const char* kManifestName = "manifest.json";

// temp file, fsync, rename, fsync of the directory. The body carries its XXH3 checksum. Throws Error(storage); the manifest that stood
// there before then still stands, unless it was the last fsync that failed. Strings are UTF-8.
void write_manifest(const std::string& directory, const Manifest& manifest);
// Nothing where there is none; throws Error(storage) that names the file when it is torn or not ours.
std::optional<Manifest> read_manifest(const std::string& directory);
// Whether there is a file of that name, valid or not.
[[nodiscard]] bool holds_manifest(const std::string& directory);
void remove_manifest(const std::string& directory);  // and fsync of the directory; absent is fine. Throws Error(storage)

}  // namespace gsnake::store
