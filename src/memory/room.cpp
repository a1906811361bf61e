#include "memory/room.h"

#include <algorithm>

namespace gsnake::memory {

Room::Room(std::uint64_t bytes) {
  gaps_.reserve(64);
  if (bytes > 0) gaps_.push_back({0, bytes});
}

std::optional<std::uint64_t> Room::try_take(std::uint64_t bytes) {
  if (gaps_.capacity() < blocks_ + 3) gaps_.reserve(2 * gaps_.capacity());
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [bytes](const Gap& one) { return one.end - one.begin >= bytes; });
  if (gap == gaps_.end()) return std::nullopt;
  const std::uint64_t offset = gap->begin;
  gap->begin += bytes;
  if (gap->begin == gap->end) gaps_.erase(gap);
  ++blocks_;
  extent_ = std::max(extent_, offset + bytes);
  return offset;
}

void Room::give_back(std::uint64_t offset, std::uint64_t bytes) noexcept {
  --blocks_;
  const std::uint64_t end = offset + bytes;
  const auto after = std::find_if(gaps_.begin(), gaps_.end(), [end](const Gap& gap) { return gap.begin >= end; });
  const bool joins_after = after != gaps_.end() && after->begin == end;
  const bool joins_before = after != gaps_.begin() && std::prev(after)->end == offset;
  if (joins_before && joins_after) {
    std::prev(after)->end = after->end;
    gaps_.erase(after);
  } else if (joins_before) {
    std::prev(after)->end = end;
  } else if (joins_after) {
    after->begin = offset;
  } else {
    gaps_.insert(after, {offset, end});
  }
}

}  // namespace gsnake::memory
