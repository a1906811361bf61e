// What stands on SSD, and a run of its bytes: how the schedule, the runtime and the store name them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace gsnake::core {

// Weights, what the fp32 master is beside them, and moments are state. Gradients (those that wait for the delayed part) and activations
// (checkpoints and their gradients) are scratch: no meaning after the run. A base is neither: packed weights in a file that many runs read and
// none writes. Tables of checksums hold these numbers.
enum class ExtentKind : std::uint8_t { weights, moment1, moment2, gradients, activations, master, base };
inline constexpr int kExtentKindCount = 7;
inline constexpr std::array<const char*, kExtentKindCount> kExtentKindNames{"weights",     "moment1", "moment2", "gradients",
                                                                           "activations", "master",  "base"};

[[nodiscard]] constexpr bool is_scratch(ExtentKind kind) noexcept { return kind == ExtentKind::gradients || kind == ExtentKind::activations; }
[[nodiscard]] constexpr bool is_state(ExtentKind kind) noexcept { return !is_scratch(kind) && kind != ExtentKind::base; }
[[nodiscard]] constexpr std::size_t index_of(ExtentKind kind) noexcept { return static_cast<std::size_t>(kind); }

// Every extent starts and ends on a multiple of this many bytes, whatever the file system asks for (at most this).
inline constexpr std::uint64_t kExtentAlignment = 4096;

// A base is hashed, moved and placed in blocks of this many bytes.
inline constexpr std::uint64_t kBaseBlockBytes = 64 * 1024;

// Part of one object of a kind.
struct Extent {
  ExtentKind kind = ExtentKind::weights;
  std::uint32_t object = 0;
  std::uint64_t offset = 0;  // bytes; as `bytes` a multiple of kExtentAlignment
  std::uint64_t bytes = 0;

  bool operator==(const Extent&) const = default;
};

[[nodiscard]] constexpr bool is_state(const Extent& extent) noexcept { return is_state(extent.kind); }
[[nodiscard]] constexpr bool is_scratch(const Extent& extent) noexcept { return is_scratch(extent.kind); }

}  // namespace gsnake::core
