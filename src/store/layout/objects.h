// What is on SSD: objects of several kinds, and the pieces that they are moved in.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/extent.h"

namespace gsnake::store {

// One file per kind and path, but for a base, which is one file for all runs. State has one or two slots (A, B), scratch one.
using Kind = core::ExtentKind;
using core::Extent;
using core::kExtentAlignment;
inline constexpr int kKindCount = core::kExtentKindCount;
inline constexpr auto& kKindNames = core::kExtentKindNames;

struct KindLayout {
  // Scratch: 1. State, the same for every kind with bytes: 1; under durability = "commit" 2 (A and B), or 2 + n with n places for
  // snapshots.
  int slots = 1;
  std::vector<std::uint64_t> logical_bytes;  // of each object; what counts as data
  std::vector<std::uint64_t> padded_bytes;   // of each object on SSD: a multiple of kExtentAlignment; 0: not on SSD
  // Objects of state that are written once: they stand in every slot alike, and on SSD once. In ascending order.
  std::vector<std::uint32_t> frozen = {};

  [[nodiscard]] bool is_frozen(std::uint32_t object) const noexcept { return std::binary_search(frozen.begin(), frozen.end(), object); }
  [[nodiscard]] int slots_of(std::uint32_t object) const noexcept { return is_frozen(object) ? 1 : slots; }
};

// What a run has on SSD: nothing of a base, which is not its own. A pure function of the model (and, for scratch, of the placement): state's
// layout does not depend on placement.
struct Layout {
  std::array<KindLayout, kKindCount> kinds;
};

// A piece of state and the XXH3-64 of its bytes. The pieces of one (kind, object) tile its padded bytes without gap or overlap, in any
// order.
struct Checksum {
  Extent extent;
  std::uint64_t xxh3 = 0;
};

// XXH3_64bits.
[[nodiscard]] std::uint64_t checksum_of(std::span<const std::byte> bytes) noexcept;

}  // namespace gsnake::store
