// Whether the drives have room, asked before anything is written.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace gsnake::store {

struct SpaceNeed {
  std::string directory;              // exists
  std::uint64_t bytes = 0;            // to be allocated there
  std::uint64_t reclaimed_bytes = 0;  // allocated there by files that are removed first
};

// Directories on one file system are added up. Throws Error(storage) with the directories, need, free and what to do. A file system that
// does not tell its size passes: preallocation finds out.
void check_space(std::span<const SpaceNeed> needs);

}  // namespace gsnake::store
