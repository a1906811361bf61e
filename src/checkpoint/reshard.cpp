#include "checkpoint/reshard.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>

#include "checkpoint/pieces.h"
#include "greedysnake/error.h"
#include "store/transfer/stream.h"

namespace gsnake::checkpoint {
namespace {

// Bytes of a cell in a kind of the object's state.
std::uint64_t width_of(const schedule::Object& object, store::Kind kind) {
  if (kind == store::Kind::weights) return object.cell_bytes();
  std::size_t k = 0;
  while (object.state_kind(k) != kind) ++k;
  return object.state_bytes.at(k);
}

void refuse_other_state(const store::Layout& whole, const schedule::Problem& problem) {
  const auto bytes_in = [&](store::Kind kind, std::size_t object) {
    const std::vector<std::uint64_t>& bytes = whole.kinds[core::index_of(kind)].padded_bytes;
    return object < bytes.size() ? bytes[object] : 0;
  };
  bool same = true;
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    const schedule::Object& object = problem.objects[i];
    if (object.packed()) continue;
    same = same && bytes_in(store::Kind::weights, i) == object.cells() * object.cell_bytes();
    for (std::size_t k = 0; k < object.state_bytes.size(); ++k) same = same && bytes_in(object.state_kind(k), i) == object.cells() * object.state_bytes[k];
  }
  if (!same || whole.kinds[core::index_of(store::Kind::weights)].padded_bytes.size() > problem.objects.size()) {
    throw Error(ErrorKind::usage, "model: its units have other sizes, or are stored in other formats, than those of the run that is shared among ranks anew");
  }
}

// A piece of this rank's state, as its own store has it and as the whole has it.
struct Piece {
  store::Extent own;
  store::Extent whole;
};

std::vector<Piece> pieces_of(const schedule::Map& map) {
  std::vector<Piece> pieces;
  for (const schedule::Extent& extent : map.extents) {
    if (!core::is_state(extent)) continue;
    const schedule::Object& object = map.problem.object(static_cast<int>(extent.object));
    Piece& piece = pieces.emplace_back(Piece{extent, extent});
    piece.whole.offset += object.range().begin * width_of(object, extent.kind);
  }
  const auto place = [](const Piece& piece) { return std::tuple(piece.whole.kind, piece.whole.object, piece.whole.offset); };
  std::sort(pieces.begin(), pieces.end(), [&](const Piece& a, const Piece& b) { return place(a) < place(b); });
  return pieces;
}

bool all_zero(std::span<const std::byte> bytes) { return bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0; }

// As each of its ranks says it, for this one.
nlohmann::json training_for(nlohmann::json training, const RanksConfig& ranks) {
  training["ranks"] = ranks.count;
  training["rank"] = ranks.rank;
  training["reshardings"] = training.value("reshardings", std::int64_t{0}) + 1;
  return training;
}

}  // namespace

Resharded reshard(store::Store& from, store::Store& to, const schedule::Map& map, const RanksConfig& ranks, const store::ByteProgress& progress) {
  refuse_other_state(from.layout(), map.problem);
  const std::vector<Piece> pieces = pieces_of(map);
  std::vector<store::Extent> wanted;
  std::uint64_t largest = 0;
  std::uint64_t total = 0;
  for (const Piece& piece : pieces) {
    wanted.push_back(piece.whole);
    largest = std::max(largest, piece.own.bytes);
    total += piece.own.bytes;
  }
  Resharded made{training_for(from.manifest()->training, ranks), {}};
  if (pieces.empty()) return made;
  store::WriteStream out(to, 0, largest, to.stream_bytes());
  std::uint64_t done = 0;
  read_in_pieces(from, wanted, {[&] { return out.block(); }, [&](std::size_t piece, std::span<const std::byte> bytes) {
                                  made.checksums.push_back({pieces[piece].own, store::checksum_of(bytes)});
                                  if (!all_zero(bytes)) out.write(pieces[piece].own);  // preallocated blocks are zero already
                                  done += bytes.size();
                                  if (progress) progress(done, total);
                                }});
  out.finish();
  return made;
}

}  // namespace gsnake::checkpoint
