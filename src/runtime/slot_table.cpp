#include "runtime/slot_table.h"

namespace gsnake::runtime {

static_assert(static_cast<int>(store::Kind::activations) == static_cast<int>(schedule::ExtentKind::activations));
static_assert(static_cast<int>(store::Kind::moment1) == static_cast<int>(schedule::ExtentKind::moment1));

SlotTable::SlotTable(const schedule::Map& map, const store::Layout& layout) : current_(map.extents.size(), 0) {
  for (const schedule::Extent& extent : map.extents) {
    slots_.push_back(static_cast<std::uint8_t>(layout.kinds[static_cast<std::size_t>(extent.kind)].slots));
  }
}

}  // namespace gsnake::runtime
