#include "checkpoint/start_state.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "checkpoint/pieces.h"
#include "memory/anonymous.h"

namespace gsnake::checkpoint {
namespace {

using Place = std::tuple<store::Kind, std::uint32_t, std::uint64_t, std::uint64_t>;

Place place_of(const store::Extent& extent) { return {extent.kind, extent.object, extent.offset, extent.bytes}; }

// Weights that are read in other pieces than they were committed in: checked once, and hashed in the new ones.
void check_in_pieces(store::Store& store, const schedule::Map& map, std::vector<int> pieces, std::vector<KnownChecksum>& known) {
  const auto extent_of = [&](int piece) -> const store::Extent& { return map.extents[static_cast<std::size_t>(piece)]; };
  std::sort(pieces.begin(), pieces.end(), [&](int a, int b) { return place_of(extent_of(a)) < place_of(extent_of(b)); });
  std::vector<store::Extent> extents;
  std::uint64_t largest = 0;
  for (const int piece : pieces) {
    extents.push_back(extent_of(piece));
    largest = std::max(largest, extents.back().bytes);
  }
  const memory::AnonymousMemory block(largest);
  read_in_pieces(store, extents, {[&] { return block.data(); }, [&](std::size_t i, std::span<const std::byte> bytes) { known.push_back({pieces[i], store::checksum_of(bytes)}); }});
}

}  // namespace

std::vector<KnownChecksum> find_checksums(store::Store& store, const schedule::Map& map, const StateHashes* written, StartState state,
                                          const store::SetUpProgress& progress) {
  std::map<Place, std::uint64_t> committed;
  for (const store::Checksum& checksum : store.checksums()) committed[place_of(checksum.extent)] = checksum.xxh3;
  std::vector<KnownChecksum> all;
  std::vector<int> unknown;
  std::vector<store::Extent> to_hash;
  for (std::size_t i = 0; i < map.extents.size(); ++i) {
    if (!core::is_state(map.extents[i])) continue;
    const store::Extent extent = map.extents[i];
    const auto found = committed.find(place_of(extent));
    if (found != committed.end()) {
      all.push_back({static_cast<int>(i), found->second});
    } else if (written != nullptr && written->of(i)) {
      all.push_back({static_cast<int>(i), *written->of(i)});
    } else if (state != StartState::sampled) {
      unknown.push_back(static_cast<int>(i));
      to_hash.push_back(extent);
    } else if (extent.kind == store::Kind::weights && !committed.empty()) {
      unknown.push_back(static_cast<int>(i));
    }
  }
  if (state == StartState::sampled) {
    check_in_pieces(store, map, std::move(unknown), all);
    return all;
  }
  const auto told = [&](std::uint64_t done, std::uint64_t total) {
    if (progress) progress("hashing the state in its new pieces", done, total);
  };
  const std::vector<std::uint64_t> hashed = store.hash(to_hash, store.committed_slot(), told);
  for (std::size_t i = 0; i < unknown.size(); ++i) all.push_back({unknown[i], hashed[i]});
  return all;
}

void set_up(runtime::SlotTable& slots, const store::Store& store, const std::vector<KnownChecksum>& checksums) {
  slots.start_from(store.committed_slot());
  for (const KnownChecksum& checksum : checksums) slots.set_checksum(checksum.extent, checksum.value);
}

}  // namespace gsnake::checkpoint
