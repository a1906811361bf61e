// Long reads of state, many blocks ahead, in bounded memory: to hash it and to copy it to another slot.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "store/store.h"

namespace gsnake::store {

inline constexpr std::size_t kStreamBlockBytes = 1 << 20;

struct StreamTarget {
  int slot = 0;                  // read
  std::optional<int> copy_slot;  // written, each block after it was visited; another one than `slot`
  std::size_t blocks = 2;        // memory, of kStreamBlockBytes each; at least 2
  bool leaves_room = false;      // takes a quarter of the engine's capacity at most, for the sake of those who use it meanwhile
};

// A hash of one extent: in the order of `extents`, when all of it was read.
using HashVisitor = std::function<void(std::size_t extent, std::uint64_t xxh3)>;

// Reads the extents, in order, and calls `visit` on this thread with the hash of each; what it throws ends the stream. Returns when every
// copy is written. Throws Error(storage) that names the object, the file, the offset and errno of what failed.
void stream_extents(Store& store, std::span<const Extent> extents, const StreamTarget& target, const HashVisitor& visit);

}  // namespace gsnake::store
