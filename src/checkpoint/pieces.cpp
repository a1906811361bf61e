#include "checkpoint/pieces.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "core/errors.h"

namespace gsnake::checkpoint {
namespace {

std::tuple<store::Kind, std::uint32_t> whose(const store::Extent& extent) { return {extent.kind, extent.object}; }
std::tuple<store::Kind, std::uint32_t, std::uint64_t> place_of(const store::Extent& extent) { return {extent.kind, extent.object, extent.offset}; }

// Of the committed pieces, those that some byte of `wanted` is of; both in order.
std::vector<store::Checksum> pieces_that_hold(std::span<const store::Extent> wanted, const store::Store& store) {
  std::vector<store::Checksum> committed = store.checksums();
  std::sort(committed.begin(), committed.end(), [](const auto& a, const auto& b) { return place_of(a.extent) < place_of(b.extent); });
  std::vector<store::Checksum> pieces;
  auto next = wanted.begin();
  for (const store::Checksum& piece : committed) {
    const store::Extent& extent = piece.extent;
    const auto is_over = [&](const store::Extent& other) {
      return whose(other) < whose(extent) || (whose(other) == whose(extent) && other.offset + other.bytes <= extent.offset);
    };
    while (next != wanted.end() && is_over(*next)) ++next;
    if (next == wanted.end()) break;
    if (whose(*next) == whose(extent) && next->offset < extent.offset + extent.bytes) pieces.push_back(piece);
  }
  return pieces;
}

// Cuts bytes that come in order into the wanted pieces.
class Cutter {
 public:
  Cutter(std::span<const store::Extent> wanted, const PieceSink& sink) : wanted_(wanted), sink_(sink) {}

  // Of `extent`, from its byte `done` on.
  void add(const store::Extent& extent, std::uint64_t done, std::span<const std::byte> bytes) {
    while (!bytes.empty() && piece_ < wanted_.size() && whose(wanted_[piece_]) == whose(extent)) {
      const std::uint64_t at = extent.offset + done;
      const std::uint64_t needed = wanted_[piece_].offset + filled_;
      if (at > needed) return;  // which leaves the piece incomplete
      const std::uint64_t skipped = std::min<std::uint64_t>(bytes.size(), needed - std::min(needed, at));
      const std::uint64_t count = std::min<std::uint64_t>(bytes.size() - skipped, wanted_[piece_].bytes - filled_);
      if (count > 0) fill(bytes.subspan(skipped, count));
      bytes = bytes.subspan(skipped + count);
      done += skipped + count;
    }
  }
  [[nodiscard]] bool complete() const { return piece_ == wanted_.size(); }

 private:
  void fill(std::span<const std::byte> bytes) {
    if (filled_ == 0) block_ = sink_.block();
    std::memcpy(block_ + filled_, bytes.data(), bytes.size());
    filled_ += bytes.size();
    if (filled_ < wanted_[piece_].bytes) return;
    sink_.take(piece_, {block_, filled_});
    filled_ = 0;
    ++piece_;
  }

  std::span<const store::Extent> wanted_;
  const PieceSink& sink_;
  std::size_t piece_ = 0;
  std::uint64_t filled_ = 0;
  std::byte* block_ = nullptr;
};

}  // namespace

void read_in_pieces(store::Store& store, std::span<const store::Extent> pieces, const PieceSink& sink) {
  if (pieces.empty()) return;
  if (store.checksums().empty()) core::throw_storage("read the state of", "run " + store.run_id(), "its commit holds no checksums", "train on, which stores them");
  const std::vector<store::Checksum> committed = pieces_that_hold(pieces, store);
  Cutter cutter(pieces, sink);
  std::size_t piece = 0;
  std::uint64_t done = 0;  // of it
  store.read_committed(committed, [&](std::size_t at, std::span<const std::byte> bytes) {
    if (at != piece) done = 0;
    piece = at;
    cutter.add(committed[at].extent, done, bytes);
    done += bytes.size();
  });
  if (!cutter.complete()) core::throw_storage("read the state of", "run " + store.run_id(), "its checksums cover other state", "name the folders of one run");
}

}  // namespace gsnake::checkpoint
