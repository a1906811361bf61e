#include "runtime/slot_table.h"

namespace gsnake::runtime {

static_assert(static_cast<int>(store::Kind::activations) == static_cast<int>(schedule::ExtentKind::activations));
static_assert(static_cast<int>(store::Kind::master) == static_cast<int>(schedule::ExtentKind::master));
static_assert(static_cast<int>(store::Kind::moment1) == static_cast<int>(schedule::ExtentKind::moment1));

SlotTable::SlotTable(const schedule::Map& map, const store::Layout& layout) {
  for (const schedule::Extent& extent : map.extents) {
    Entry entry;
    const store::Extent stored = store_extent(extent);
    entry.two_slots = layout.kinds[static_cast<std::size_t>(stored.kind)].slots_of(stored.object) >= 2;
    entries_.push_back(entry);
  }
}

void SlotTable::written(int extent, int slot, std::uint64_t checksum) {
  Entry& entry = entries_[static_cast<std::size_t>(extent)];
  entry.slot = static_cast<std::uint8_t>(slot);
  entry.checksums[slot] = {true, checksum};
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
