// Long reads of state, many blocks ahead, and long writes behind, in bounded memory: to hash it, to copy it to another slot, to import and export it.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "store/store.h"
#include "store/transfer/window.h"

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
// `block_visit`, where there is one, sees an extent's bytes before `visit` sees their hash.
void stream_extents(Store& store, std::span<const Extent> extents, const StreamTarget& target, const HashVisitor& visit,
                    const BlockVisitor& block_visit = {});

// Writes extents from blocks of its own, filled one after another: while one is filled, those before it are on their way.
class WriteStream {
 public:
  // `block_bytes`: of the largest extent. `memory_bytes` is divided into such blocks, two at the least.
  WriteStream(Store& store, int slot, std::size_t block_bytes, std::size_t memory_bytes);

  std::byte* block();                // to be filled next; waits until what was written from it before is over
  void write(const Extent& extent);  // what block() gave, which then belongs to the stream
  void finish();                     // waits for all; without it, the destructor does, and tells of no failure

 private:
  int slot_;
  std::size_t next_ = 0;
  Window window_;
};

}  // namespace gsnake::store
