#include "store/transfer/stream.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <new>

#include "core/bytes.h"
#include "store/transfer/window.h"

namespace gsnake::store {
namespace {

// Where a stream stands: a block of extents[extent].
struct Position {
  std::size_t extent = 0;
  std::uint64_t offset = 0;  // in the extent
};

// Hashes blocks that come in order.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
  }
  void add(std::span<const std::byte> data, bool first) {
    if (first) XXH3_64bits_reset(state_.get());
    XXH3_64bits_update(state_.get(), data.data(), data.size());
  }
  [[nodiscard]] std::uint64_t digest() const { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const noexcept { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

class Stream {
 public:
  Stream(Store& store, std::span<const Extent> extents, const StreamTarget& target)
      : extents_(extents),
        target_(target),
        block_bytes_(block_bytes_of(extents)),
        blocks_(std::max<std::size_t>(2, std::min(target.blocks, blocks_of(extents)))),
        // A block that is being copied is read again only half a round later, so that its write has time.
        ahead_(target.copy_slot ? blocks_ / 2 : blocks_),
        window_(store, blocks_, block_bytes_, target.leaves_room ? store.engine().capacity() / 4 : store.engine().capacity()) {}

  void run(const HashVisitor& visit, const BlockVisitor& block_visit) {
    Position next;
    std::size_t started = 0;
    Position at;
    for (std::size_t done = 0; at.extent < extents_.size(); ++done) {
      for (; next.extent < extents_.size() && started < done + ahead_; ++started) {
        window_.wait(started % blocks_);
        window_.start(io::Direction::read, started % blocks_, part_at(next), target_.slot);
        advance(next);
      }
      consume(at, done % blocks_, visit, block_visit);
      advance(at);
    }
    window_.wait_for_all();
  }

 private:
  static std::uint64_t block_bytes_of(std::span<const Extent> extents) {
    std::uint64_t most = kExtentAlignment;
    for (const Extent& extent : extents) most = std::max(most, extent.bytes);
    return std::min<std::uint64_t>(most, kStreamBlockBytes);
  }
  static std::size_t blocks_of(std::span<const Extent> extents) {
    std::size_t blocks = 0;
    for (const Extent& extent : extents) blocks += core::ceil_div(extent.bytes, kStreamBlockBytes);
    return blocks;
  }

  [[nodiscard]] Extent part_at(const Position& position) const {
    Extent part = extents_[position.extent];
    part.offset += position.offset;
    part.bytes = std::min(block_bytes_, part.bytes - position.offset);
    return part;
  }

  void advance(Position& position) const {
    position.offset += block_bytes_;
    if (position.offset < extents_[position.extent].bytes) return;
    ++position.extent;
    position.offset = 0;
  }

  void consume(const Position& at, std::size_t block, const HashVisitor& visit, const BlockVisitor& block_visit) {
    window_.wait(block);
    const Extent part = part_at(at);
    hasher_.add({window_.data(block), part.bytes}, at.offset == 0);
    if (block_visit) block_visit(at.extent, {window_.data(block), part.bytes});
    if (at.offset + part.bytes == extents_[at.extent].bytes) visit(at.extent, hasher_.digest());
    if (target_.copy_slot) window_.start(io::Direction::write, block, part, *target_.copy_slot);
  }

  std::span<const Extent> extents_;
  const StreamTarget target_;
  const std::uint64_t block_bytes_;  // kStreamBlockBytes, or less where every extent is smaller
  const std::size_t blocks_;
  const std::size_t ahead_;
  Hasher hasher_;
  Window window_;
};

}  // namespace

void stream_extents(Store& store, std::span<const Extent> extents, const StreamTarget& target, const HashVisitor& visit, const BlockVisitor& block_visit) {
  Stream(store, extents, target).run(visit, block_visit);
}

WriteStream::WriteStream(Store& store, int slot, std::size_t block_bytes, std::size_t memory_bytes)
    : slot_(slot),
      window_(store, std::max<std::size_t>(2, memory_bytes / block_bytes), block_bytes, store.engine().capacity()) {}

std::byte* WriteStream::block() {
  window_.wait(next_);
  return window_.data(next_);
}

void WriteStream::write(const Extent& extent) {
  window_.start(io::Direction::write, next_, extent, slot_);
  next_ = (next_ + 1) % window_.blocks();
}

void WriteStream::finish() { window_.wait_for_all(); }

}  // namespace gsnake::store
