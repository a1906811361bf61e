// Which of the slots A and B an extent's newest bytes are in, and their checksum. Looked up at run time, so that one graph serves every step.
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

  [[nodiscard]] int read_slot(int extent) const { return entries_[static_cast<std::size_t>(extent)].slot; }
  // With two slots, the one that the last commit does not own: there, later updates overwrite earlier ones until the next commit.
  [[nodiscard]] int write_slot(int extent) const { return entries_[static_cast<std::size_t>(extent)].two_slots ? 1 - committed_slot_ : 0; }
  // Where all state stands once an update is complete.
  [[nodiscard]] int newest_slot() const;
  void written(int extent, int slot, std::uint64_t checksum);
  // What was written since the last commit does not count.
  void undo(int extent);

  // Of the newest bytes; `known` is false until they were written or set.
  struct Checksum {
    bool known = false;
    std::uint64_t value = 0;
  };
  [[nodiscard]] Checksum checksum(int extent) const { return checksum(extent, read_slot(extent)); }
  [[nodiscard]] Checksum checksum(int extent, int slot) const { return entries_[static_cast<std::size_t>(extent)].checksums[slot]; }
  void set_checksum(int extent, std::uint64_t checksum) { entries_[static_cast<std::size_t>(extent)].checksums[read_slot(extent)] = {true, checksum}; }

  // All state is in `slot`, and that is committed.
  void start_from(int slot);
  void committed(int slot) { committed_slot_ = slot; }
  [[nodiscard]] int committed_slot() const { return committed_slot_; }

 private:
  struct Entry {
    bool two_slots = false;
    std::uint8_t slot = 0;
    Checksum checksums[2];  // by slot
  };
  std::vector<Entry> entries_;
  int committed_slot_ = 0;
};

}  // namespace gsnake::runtime
