#include "store/stream.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/aligned_buffer.h"
#include "store/state.h"

namespace gsnake::store {
namespace {

// A request of a block. Its address is the engine's until it has completed.
class Window;
struct Piece final : public io::Completion {
  void on_complete(std::error_code error) noexcept override;

  Window* window = nullptr;
  std::size_t block = 0;
  io::Request request;
  Extent part;
  int slot = 0;
};

// Where a stream stands: a block of at most kStreamBlockBytes of extents[extent].
struct Position {
  std::size_t extent = 0;
  std::uint64_t offset = 0;  // in the extent
};

class Window {
 public:
  Window(Store& store, std::size_t blocks, std::size_t most_in_flight)
      : store_(store),
        most_in_flight_(std::max<std::size_t>(1, most_in_flight)),
        memory_(blocks * kStreamBlockBytes),
        pieces_per_block_(store.max_requests(kStreamBlockBytes)),
        pieces_(blocks * pieces_per_block_),
        requests_(pieces_per_block_),
        pending_(blocks, 0) {}
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return in_flight_ == 0; });
  }

  [[nodiscard]] std::byte* data(std::size_t block) noexcept { return memory_.data() + block * kStreamBlockBytes; }

  void start(io::Op op, std::size_t block, const Extent& part, int slot) {
    const std::size_t count = store_.plan(op, part, slot, data(block), nullptr, requests_);
    for (std::size_t i = 0; i < count; ++i) {
      Piece& piece = pieces_[block * pieces_per_block_ + i];
      piece.window = this;
      piece.block = block;
      piece.part = part;
      piece.slot = slot;
      piece.request = requests_[i];
      piece.request.completion = &piece;
      submit(piece);
    }
  }

  // Until nothing of the block is in flight.
  void wait(std::size_t block) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return pending_[block] == 0 || failed_ != nullptr; });
    throw_if_failed();
  }

  void wait_for_all() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return in_flight_ == 0; });
    throw_if_failed();
  }

  // Notifies under the lock: the window may go as soon as nothing is in flight.
  void completed(const Piece& piece, std::error_code error) noexcept {
    const std::lock_guard guard(mutex_);
    --in_flight_;
    --pending_[piece.block];
    if (error && failed_ == nullptr) {
      failed_ = &piece;
      error_ = error;
    }
    changed_.notify_all();
  }

 private:
  void submit(Piece& piece) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return in_flight_ < most_in_flight_ || failed_ != nullptr; });
    throw_if_failed();
    ++in_flight_;
    ++pending_[piece.block];
    guard.unlock();
    while (!store_.engine().try_submit({&piece.request, 1})) wait_for_room();
  }

  // Others may fill the engine, of whose completions we hear nothing.
  void wait_for_room() {
    std::unique_lock guard(mutex_);
    const std::size_t before = in_flight_;
    changed_.wait_for(guard, std::chrono::milliseconds(1), [&] { return in_flight_ < before; });
  }

  void throw_if_failed() const {
    if (failed_ == nullptr) return;
    const io::Request& request = failed_->request;
    core::throw_storage(fmt::format("{} {} B at offset {} of", request.op == io::Op::read ? "read" : "write", request.size, request.offset),
                        fmt::format("{} ({})", store_.path_of(request.file), describe(failed_->part, failed_->slot)), error_,
                        "look at the drive and the kernel's log");
  }

  Store& store_;
  const std::size_t most_in_flight_;
  io::AlignedBuffer memory_;
  const std::size_t pieces_per_block_;
  std::vector<Piece> pieces_;
  std::vector<io::Request> requests_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t in_flight_ = 0;         // requests, guarded by mutex_ as all below
  std::vector<std::size_t> pending_;  // requests, by block
  const Piece* failed_ = nullptr;     // the first
  std::error_code error_;
};

void Piece::on_complete(std::error_code error) noexcept { window->completed(*this, error); }

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
        blocks_(std::max<std::size_t>(2, std::min(target.blocks, blocks_of(extents)))),
        // A block that is being copied is read again only half a round later, so that its write has time.
        ahead_(target.copy_slot ? blocks_ / 2 : blocks_),
        window_(store, blocks_, target.leaves_room ? store.engine().capacity() / 4 : store.engine().capacity()) {}

  void run(const HashVisitor& visit) {
    Position next;
    std::size_t started = 0;
    Position at;
    for (std::size_t done = 0; at.extent < extents_.size(); ++done) {
      for (; next.extent < extents_.size() && started < done + ahead_; ++started) {
        window_.wait(started % blocks_);
        window_.start(io::Op::read, started % blocks_, part_at(next), target_.slot);
        advance(next);
      }
      consume(at, done % blocks_, visit);
      advance(at);
    }
    window_.wait_for_all();
  }

 private:
  static std::size_t blocks_of(std::span<const Extent> extents) {
    std::size_t blocks = 0;
    for (const Extent& extent : extents) blocks += core::ceil_div(extent.bytes, kStreamBlockBytes);
    return blocks;
  }

  [[nodiscard]] Extent part_at(const Position& position) const {
    Extent part = extents_[position.extent];
    part.offset += position.offset;
    part.bytes = std::min<std::uint64_t>(kStreamBlockBytes, part.bytes - position.offset);
    return part;
  }

  void advance(Position& position) const {
    position.offset += kStreamBlockBytes;
    if (position.offset < extents_[position.extent].bytes) return;
    ++position.extent;
    position.offset = 0;
  }

  void consume(const Position& at, std::size_t block, const HashVisitor& visit) {
    window_.wait(block);
    const Extent part = part_at(at);
    hasher_.add({window_.data(block), part.bytes}, at.offset == 0);
    if (at.offset + part.bytes == extents_[at.extent].bytes) visit(at.extent, hasher_.digest());
    if (target_.copy_slot) window_.start(io::Op::write, block, part, *target_.copy_slot);
  }

  std::span<const Extent> extents_;
  const StreamTarget target_;
  const std::size_t blocks_;
  const std::size_t ahead_;
  Hasher hasher_;
  Window window_;
};

}  // namespace

void stream_extents(Store& store, std::span<const Extent> extents, const StreamTarget& target, const HashVisitor& visit) {
  Stream(store, extents, target).run(visit);
}

}  // namespace gsnake::store
