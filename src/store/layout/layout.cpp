#include "store/layout/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::store {
namespace {

[[noreturn]] void reject(Kind kind, const std::string& rule) {
  throw Error(ErrorKind::usage, fmt::format("the storage layout of {} can't be: {}", name_of(kind), rule));
}

constexpr int kMostSlots = 1024;
constexpr std::uint64_t kMostBytes = 1ULL << 62;  // of a kind: the offsets of the system calls are signed

bool has_bytes(const KindLayout& layout) {
  return std::any_of(layout.padded_bytes.begin(), layout.padded_bytes.end(), [](std::uint64_t bytes) { return bytes > 0; });
}

void validate_kind(Kind kind, const KindLayout& layout) {
  if (layout.slots < 1 || layout.slots > kMostSlots || (!is_state(kind) && layout.slots != 1)) {
    reject(kind, fmt::format("{} slots", layout.slots));
  }
  if (kind == Kind::base && has_bytes(layout)) reject(kind, "it is no file of the run's");
  if (layout.logical_bytes.size() != layout.padded_bytes.size()) {
    reject(kind, fmt::format("{} logical and {} padded sizes", layout.logical_bytes.size(), layout.padded_bytes.size()));
  }
  const bool ascending = std::adjacent_find(layout.frozen.begin(), layout.frozen.end(), std::greater_equal<>()) == layout.frozen.end();
  if (!ascending || (!layout.frozen.empty() && (!is_state(kind) || layout.frozen.back() >= layout.padded_bytes.size()))) {
    reject(kind, "its frozen objects are not some of its objects of state, in order");
  }
  const std::uint64_t most = kMostBytes / static_cast<std::uint64_t>(layout.slots);
  std::uint64_t sum = 0;
  for (const std::uint64_t bytes : layout.padded_bytes) {
    if (bytes % kExtentAlignment != 0) reject(kind, fmt::format("a padded size of {} B is no multiple of {}", bytes, kExtentAlignment));
    if (__builtin_add_overflow(sum, bytes, &sum) || sum > most) reject(kind, "its sizes add up to more than a file can hold");
  }
}

}  // namespace

KindMap::KindMap(const KindLayout& layout) : slots_(layout.slots) {
  for (std::uint32_t object = 0; object < layout.padded_bytes.size(); ++object) {
    const std::uint64_t bytes = layout.padded_bytes[object];
    frozen_.push_back(layout.is_frozen(object));
    starts_.push_back(starts_.back() + bytes);
    later_starts_.push_back(slot_bytes_);
    slot_bytes_ += frozen_.back() ? 0 : bytes;
  }
}

std::uint64_t KindMap::offset_of(const Extent& extent, int slot) const {
  const bool object_exists = std::uint64_t{extent.object} + 1 < starts_.size() && slot >= 0 && slot < slots_;
  const std::uint64_t object_bytes = object_exists ? starts_[extent.object + 1] - starts_[extent.object] : 0;
  const bool inside = extent.offset <= object_bytes && extent.bytes <= object_bytes - extent.offset;
  if (!object_exists || !inside || extent.offset % kExtentAlignment != 0 || extent.bytes % kExtentAlignment != 0) {
    std::fprintf(stderr, "gsnake: extent [%llu, +%llu) of %s object %u slot %d is not in the layout (object of %llu bytes, %d slots)\n",
                 static_cast<unsigned long long>(extent.offset), static_cast<unsigned long long>(extent.bytes), name_of(extent.kind),
                 extent.object, slot, static_cast<unsigned long long>(object_bytes), slots_);
    std::abort();
  }
  if (slot == 0 || frozen_[extent.object]) return starts_[extent.object] + extent.offset;
  return starts_.back() + static_cast<std::uint64_t>(slot - 1) * slot_bytes_ + later_starts_[extent.object] + extent.offset;
}

void validate(const Layout& layout) {
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    validate_kind(kind_at(kind), layout.kinds[kind]);
    if (is_state(kind_at(kind)) && has_bytes(layout.kinds[kind]) && layout.kinds[kind].slots != state_slots(layout)) {
      reject(kind_at(kind), fmt::format("{} slots where other kinds of state have {}", layout.kinds[kind].slots, state_slots(layout)));
    }
  }
}

int state_slots(const Layout& layout) noexcept {
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (is_state(kind_at(kind)) && has_bytes(layout.kinds[kind])) return layout.kinds[kind].slots;
  }
  return 1;
}

nlohmann::json state_to_json(const Layout& layout) {
  nlohmann::json json = nlohmann::json::object();
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (!is_state(kind_at(kind))) continue;
    const KindLayout& sizes = layout.kinds[kind];
    json[kKindNames[kind]] = {{"slots", sizes.slots}, {"logical_bytes", sizes.logical_bytes}, {"padded_bytes", sizes.padded_bytes}};
    if (!sizes.frozen.empty()) json[kKindNames[kind]]["frozen"] = sizes.frozen;
  }
  return json;
}

Layout state_from_json(const nlohmann::json& json) {
  Layout layout;
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (!is_state(kind_at(kind))) continue;
    const nlohmann::json& sizes = json.at(kKindNames[kind]);
    sizes.at("slots").get_to(layout.kinds[kind].slots);
    sizes.at("logical_bytes").get_to(layout.kinds[kind].logical_bytes);
    sizes.at("padded_bytes").get_to(layout.kinds[kind].padded_bytes);
    if (sizes.contains("frozen")) sizes.at("frozen").get_to(layout.kinds[kind].frozen);
  }
  validate(layout);
  return layout;
}

}  // namespace gsnake::store
