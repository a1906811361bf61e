// What is on SSD: objects of several kinds, and the pieces that they are moved in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gsnake::store {

// One file per kind and path. Weights, what the fp32 master is beside them, and moments are state: they have one or two slots (A, B). Gradients (those that wait for the delayed
// part) and activations (checkpoints and their gradients) are scratch: one slot, no meaning after the run.
enum class Kind : std::uint8_t { weights, moment1, moment2, gradients, activations, master };
inline constexpr int kKindCount = 6;
inline constexpr std::array<const char*, kKindCount> kKindNames{"weights", "moment1", "moment2", "gradients", "activations", "master"};

// Every extent starts and ends on a multiple of this many bytes, whatever the file system asks for (at most this).
inline constexpr std::uint64_t kExtentAlignment = 4096;

struct KindLayout {
  // Scratch: 1. State, the same for every kind with bytes: 1; under durability = "commit" 2 (A and B), or 2 + n with n places for
  // snapshots.
  int slots = 1;
  std::vector<std::uint64_t> logical_bytes;  // of each object; what counts as data
  std::vector<std::uint64_t> padded_bytes;   // of each object on SSD: a multiple of kExtentAlignment; 0: not on SSD
};

// What is on SSD. A pure function of the model (and, for scratch, of the placement): state's layout does not depend on placement.
struct Layout {
  std::array<KindLayout, kKindCount> kinds;
};

// Part of one object. offset and bytes are multiples of kExtentAlignment.
struct Extent {
  Kind kind = Kind::weights;
  std::uint32_t object = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
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
