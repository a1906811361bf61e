// The arithmetic of a layout: where an object of a kind starts, how large a kind's volume is, and its JSON in the manifest.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "store/layout/objects.h"

namespace gsnake::store {

using core::index_of;
using core::is_state;

inline constexpr std::array kStateKinds{Kind::weights, Kind::moment1, Kind::moment2, Kind::master};
inline constexpr std::array kScratchKinds{Kind::gradients, Kind::activations};

[[nodiscard]] constexpr Kind kind_at(std::size_t index) noexcept { return static_cast<Kind>(index); }
[[nodiscard]] inline const char* name_of(Kind kind) noexcept { return kKindNames[index_of(kind)]; }

// A kind's volume: slot 0's objects one after another, then slot 1's, but for those that are frozen. Immutable.
class KindMap {
 public:
  KindMap() = default;
  explicit KindMap(const KindLayout& layout);
  [[nodiscard]] std::uint64_t volume_bytes() const noexcept { return starts_.back() + slot_bytes_ * static_cast<std::uint64_t>(slots_ - 1); }
  // Where `extent` of `slot` starts in the volume; of a frozen object it is the same place in each. Aborts for an extent that is not inside its object or not aligned: a bug of ours.
  [[nodiscard]] std::uint64_t offset_of(const Extent& extent, int slot) const;

 private:
  int slots_ = 1;
  std::uint64_t slot_bytes_ = 0;          // of each slot but the first, which holds what is frozen as well
  std::vector<std::uint64_t> starts_{0};  // of each object in slot 0, and the end of the last one
  std::vector<std::uint64_t> later_starts_;  // of each object in the slots after it, from the slot's start
  std::vector<bool> frozen_;              // by object
};

// Throws Error(usage) for sizes that break store.h's rules.
void validate(const Layout& layout);

// Slots of the state kinds that have bytes; 1 where none has.
[[nodiscard]] int state_slots(const Layout& layout) noexcept;

// The state kinds only: scratch has no meaning after a run.
nlohmann::json state_to_json(const Layout& layout);
// Throws nlohmann::json::exception, or Error(usage) as validate().
Layout state_from_json(const nlohmann::json& json);

}  // namespace gsnake::store
