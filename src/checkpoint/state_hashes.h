// Checksums of a new run's state, computed from the bytes in memory that are written: what a drive garbles on the way differs from them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "schedule/map.h"
#include "store/store.h"

namespace gsnake::checkpoint {

class StateHashes {
 public:
  // None are known; `map` is copied from.
  explicit StateHashes(const schedule::Map& map);
  // The whole object, padding included, as it goes to the drive: hashed extent by extent of the map.
  void written(store::Kind kind, std::uint32_t object, std::span<const std::byte> bytes);
  // One extent's, by the map's number, as it goes to the drive.
  void written(std::size_t extent, std::span<const std::byte> bytes) { hashes_[extent] = store::checksum_of(bytes); }
  // State that was not written is what preallocated files are: zero.
  void rest_is_zero();
  // By the map's number of an extent; nothing for one that was not written.
  [[nodiscard]] std::optional<std::uint64_t> of(std::size_t extent) const { return hashes_[extent]; }

 private:
  std::vector<store::Extent> extents_;
  std::vector<bool> is_state_;
  std::vector<std::optional<std::uint64_t>> hashes_;
};

}  // namespace gsnake::checkpoint
