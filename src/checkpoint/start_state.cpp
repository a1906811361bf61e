#include "checkpoint/start_state.h"

#include <map>
#include <tuple>

namespace gsnake::checkpoint {
namespace {

using Place = std::tuple<store::Kind, std::uint32_t, std::uint64_t, std::uint64_t>;

Place place_of(const store::Extent& extent) { return {extent.kind, extent.object, extent.offset, extent.bytes}; }

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
    }
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
