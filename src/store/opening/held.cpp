#include "store/opening/held.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace gsnake::store {
namespace {

struct Held {
  std::size_t objects = 0;   // with bytes, of all kinds
  std::size_t touched = 0;   // those of which some bytes lie on the path
  std::size_t complete = 0;  // those that lie there altogether
  std::vector<std::string> kinds;
};

std::uint64_t bytes_on(const StoreState& state, std::size_t path, const Extent& object, int slot) {
  const std::uint64_t start = state.maps[index_of(object.kind)].offset_of(object, slot);
  std::uint64_t sum = 0;
  for (std::uint64_t done = 0; done < object.bytes;) {
    const Piece piece = state.volume->piece_at(start + done, object.bytes - done);
    if (static_cast<std::size_t>(piece.path) == path) sum += piece.bytes;
    done += piece.bytes;
  }
  return sum;
}

// "0-3, 5"
std::string ranges(const std::vector<std::uint32_t>& numbers) {
  std::vector<std::string> parts;
  for (std::size_t first = 0; first < numbers.size();) {
    std::size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    parts.push_back(first == last ? std::to_string(numbers[first]) : fmt::format("{}-{}", numbers[first], numbers[last]));
    first = last + 1;
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

void add_kind(const StoreState& state, std::size_t path, Kind kind, int slot, Held& held) {
  const std::vector<std::uint64_t>& sizes = state.layout.kinds[index_of(kind)].padded_bytes;
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t object = 0; object < sizes.size(); ++object) {
    if (sizes[object] == 0) continue;
    ++held.objects;
    const std::uint64_t bytes = bytes_on(state, path, {kind, object, 0, sizes[object]}, slot);
    if (bytes > 0) numbers.push_back(object);
    if (bytes == sizes[object]) ++held.complete;
  }
  held.touched += numbers.size();
  if (!numbers.empty()) held.kinds.push_back(fmt::format("{} {}", name_of(kind), ranges(numbers)));
}

}  // namespace

std::string objects_on(const StoreState& state, std::size_t path, int slot) {
  Held held;
  for (std::size_t kind = 0; kind < state.layout.kinds.size(); ++kind) {
    if (is_state(kind_at(kind))) add_kind(state, path, kind_at(kind), slot, held);
  }
  if (held.touched == 0) return "no object's committed state";
  const char* share = held.complete == held.touched ? "all" : "a share";
  const std::string which = held.touched == held.objects ? "every object" : fmt::format("{} of {} objects", held.touched, held.objects);
  return fmt::format("{} of {} ({})", share, which, fmt::join(held.kinds, "; "));
}

}  // namespace gsnake::store
