// Which of the slots A and B an extent's newest bytes are in. Looked up at run time, so that one graph serves every step.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/map.h"
#include "store/store.h"

namespace gsnake::runtime {

// Entries are read and written by tasks that the graph's edges order.
class SlotTable {
 public:
  SlotTable(const schedule::Map& map, const store::Layout& layout);

  [[nodiscard]] int read_slot(int extent) const { return current_[static_cast<std::size_t>(extent)]; }
  // With two slots, the one that does not hold the newest bytes.
  [[nodiscard]] int write_slot(int extent) const { return slots_[static_cast<std::size_t>(extent)] == 2 ? 1 - read_slot(extent) : 0; }
  void written(int extent) { current_[static_cast<std::size_t>(extent)] = static_cast<std::uint8_t>(write_slot(extent)); }
  void set(int extent, int slot) { current_[static_cast<std::size_t>(extent)] = static_cast<std::uint8_t>(slot); }

 private:
  std::vector<std::uint8_t> slots_;    // of each extent's kind
  std::vector<std::uint8_t> current_;
};

// As the store names it.
inline store::Extent store_extent(const schedule::Extent& extent) {
  return {static_cast<store::Kind>(extent.kind), static_cast<std::uint32_t>(extent.object), extent.offset, extent.bytes};
}

}  // namespace gsnake::runtime
