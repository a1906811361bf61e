#include "train/state_hashes.h"

#include "runtime/slot_table.h"

namespace gsnake::train {

StateHashes::StateHashes(const schedule::Map& map) : hashes_(map.extents.size()) {
  for (const schedule::Extent& extent : map.extents) extents_.push_back(runtime::store_extent(extent));
}

void StateHashes::written(store::Kind kind, std::uint32_t object, std::span<const std::byte> bytes) {
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    const store::Extent& extent = extents_[i];
    if (extent.kind == kind && extent.object == object) hashes_[i] = store::checksum_of(bytes.subspan(extent.offset, extent.bytes));
  }
}

}  // namespace gsnake::train
