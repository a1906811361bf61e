#include "runtime/store_layout.h"

#include <algorithm>

#include "schedule/map.h"

namespace gsnake::runtime {
namespace {

store::KindLayout& kind_of(store::Layout& layout, core::ExtentKind kind) { return layout.kinds[core::index_of(kind)]; }

// Cells of the range that are no padding.
std::uint64_t logical_cells(const schedule::Object& object) {
  const schedule::Range range = object.range();
  return std::min(range.cells, object.elements - std::min(object.elements, range.begin));
}

void put(store::KindLayout& kind, std::size_t object, std::uint64_t logical_bytes, std::uint64_t padded_bytes) {
  kind.logical_bytes[object] = logical_bytes;
  kind.padded_bytes[object] = padded_bytes;
}

void add_object(store::Layout& layout, std::size_t index, const schedule::Object& object) {
  const auto add = [&](core::ExtentKind kind, std::uint64_t width) {
    put(kind_of(layout, kind), index, logical_cells(object) * width, object.range().cells * width);
  };
  if (!object.packed()) add(core::ExtentKind::weights, object.cell_bytes());
  for (std::size_t k = 0; k < object.state_bytes.size(); ++k) add(object.state_kind(k), object.state_bytes[k]);
  if (!object.trained && !object.packed()) kind_of(layout, core::ExtentKind::weights).frozen.push_back(static_cast<std::uint32_t>(index));
}

void add_scratch(store::Layout& layout, const core::Extent& extent) {
  store::KindLayout& kind = kind_of(layout, extent.kind);
  const std::size_t objects = std::max<std::size_t>(kind.padded_bytes.size(), extent.object + std::size_t{1});
  kind.padded_bytes.resize(objects, 0);
  kind.padded_bytes[extent.object] = std::max(kind.padded_bytes[extent.object], extent.offset + extent.bytes);
  kind.logical_bytes = kind.padded_bytes;
}

// The kinds of state that some object has.
std::vector<core::ExtentKind> state_kinds(const schedule::Problem& problem) {
  std::vector<core::ExtentKind> kinds{core::ExtentKind::weights};
  for (const schedule::Object& object : problem.objects) {
    for (std::size_t k = 0; k < object.state_bytes.size(); ++k) kinds.push_back(object.state_kind(k));
  }
  return kinds;
}

}  // namespace

store::Layout store_layout(const schedule::Problem& problem, int slots) {
  store::Layout layout;
  for (core::ExtentKind kind : state_kinds(problem)) {
    store::KindLayout& own = kind_of(layout, kind);
    own.slots = slots;
    own.logical_bytes.assign(problem.objects.size(), 0);
    own.padded_bytes.assign(problem.objects.size(), 0);
  }
  for (std::size_t object = 0; object < problem.objects.size(); ++object) add_object(layout, object, problem.objects[object]);
  for (const core::Extent& extent : schedule::make_map(problem, {}).extents) {
    if (core::is_scratch(extent)) add_scratch(layout, extent);
  }
  return layout;
}

}  // namespace gsnake::runtime
