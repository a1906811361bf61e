// A commit's state in other pieces than it was committed in.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "store/store.h"

namespace gsnake::checkpoint {

// Where the bytes of the next piece go, as many as the largest piece has; and what is done with them once they are all there.
struct PieceSink {
  std::function<std::byte*()> block;
  std::function<void(std::size_t piece, std::span<const std::byte> bytes)> take;
};

// Reads `pieces`, of the store's committed state, in order of kind, object and offset and without overlaps; in stream_bytes of memory, but for the blocks. All bytes
// have been compared with their checksums once this returns, with whatever else the committed pieces hold that they are of. Throws Error(storage), also where the commit
// holds no checksums; what the sink throws ends it.
void read_in_pieces(store::Store& store, std::span<const store::Extent> pieces, const PieceSink& sink);

}  // namespace gsnake::checkpoint
