#include "checkpoint/state_hashes.h"

#include <map>

#include "memory/anonymous.h"
#include "runtime/slot_table.h"

namespace gsnake::checkpoint {

StateHashes::StateHashes(const schedule::Map& map) : hashes_(map.extents.size()) {
  for (const schedule::Extent& extent : map.extents) {
    extents_.push_back(extent);
    is_state_.push_back(core::is_state(extent));
  }
}

void StateHashes::written(store::Kind kind, std::uint32_t object, std::span<const std::byte> bytes) {
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    const store::Extent& extent = extents_[i];
    if (extent.kind == kind && extent.object == object) hashes_[i] = store::checksum_of(bytes.subspan(extent.offset, extent.bytes));
  }
}

void StateHashes::rest_is_zero() {
  std::map<std::uint64_t, std::uint64_t> zeros;  // by size
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    if (!is_state_[i] || hashes_[i]) continue;
    auto [zero, made] = zeros.try_emplace(extents_[i].bytes, 0);
    if (made) {
      const memory::AnonymousMemory memory(extents_[i].bytes);
      zero->second = store::checksum_of({memory.data(), extents_[i].bytes});
    }
    hashes_[i] = zero->second;
  }
}

}  // namespace gsnake::checkpoint
