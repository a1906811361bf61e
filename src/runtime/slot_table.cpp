#include "runtime/slot_table.h"

#include <algorithm>

namespace gsnake::runtime {

SlotTable::SlotTable(const schedule::Map& map, const store::Layout& layout) {
  for (const core::Extent& extent : map.extents) {
    Entry entry;
    entry.two_slots = layout.kinds[core::index_of(extent.kind)].slots_of(extent.object) >= 2;
    entries_.push_back(entry);
  }
}

void SlotTable::written(int extent, int slot, std::uint64_t checksum) {
  Entry& entry = entries_[static_cast<std::size_t>(extent)];
  entry.slot = static_cast<std::uint8_t>(slot);
  entry.checksums[slot] = {true, checksum};
}

int SlotTable::newest_slot() const {
  const auto trained = std::find_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.two_slots; });
  return trained == entries_.end() ? 0 : trained->slot;
}

void SlotTable::undo(int extent) {
  Entry& entry = entries_[static_cast<std::size_t>(extent)];
  if (entry.two_slots) entry.slot = static_cast<std::uint8_t>(committed_slot_);
}

void SlotTable::start_from(int slot) {
  committed_slot_ = slot;
  for (Entry& entry : entries_) entry.slot = static_cast<std::uint8_t>(entry.two_slots ? slot : 0);
}

}  // namespace gsnake::runtime
