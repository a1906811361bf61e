#include "runtime/toy_store.h"

#include <algorithm>
#include <cstring>

#include "memory/anonymous.h"
#include "runtime/slot_table.h"
#include "schedule/map.h"

namespace gsnake::runtime::test {
namespace {

// What is stored of an object, by kind.
struct Part {
  store::Kind kind = store::Kind::weights;
  std::vector<std::byte>* bytes = nullptr;
};

std::vector<Part> parts_of(const schedule::Problem& problem, ToyObject& object) {
  std::vector<Part> parts{{store::Kind::weights, &object.weights}};
  for (std::size_t k = 0; k < object.states.size(); ++k) parts.push_back({static_cast<store::Kind>(problem.state_kind(k)), &object.states[k]});
  return parts;
}

}  // namespace

store::Layout toy_layout(const schedule::Problem& problem, int slots) {
  store::Layout layout;
  const auto add = [&](schedule::ExtentKind state, std::uint64_t width) {
    store::KindLayout& kind = layout.kinds[static_cast<std::size_t>(state)];
    kind.slots = slots;
    for (std::uint64_t elements : problem.elements) {
      kind.logical_bytes.push_back(elements * width);
      kind.padded_bytes.push_back(schedule::padded_elements(elements) * width);
    }
  };
  add(schedule::ExtentKind::weights, problem.weight_bytes);
  for (std::size_t k = 0; k < problem.state_bytes.size(); ++k) add(problem.state_kind(k), problem.state_bytes[k]);
  for (const schedule::Extent& extent : schedule::make_map(problem, {}).extents) {
    if (is_state(extent)) continue;
    std::vector<std::uint64_t>& padded = layout.kinds[static_cast<std::size_t>(extent.kind)].padded_bytes;
    const auto object = static_cast<std::size_t>(extent.object);
    if (padded.size() <= object) padded.resize(object + 1, 0);
    padded[object] = std::max(padded[object], extent.offset + extent.bytes);
    layout.kinds[static_cast<std::size_t>(extent.kind)].logical_bytes = padded;
  }
  return layout;
}

void write_objects(store::Store& store, const schedule::Problem& problem, const std::vector<ToyObject>& objects, int slot, const Written& written) {
  for (std::size_t object = 0; object < objects.size(); ++object) {
    ToyObject values = objects[object];
    for (const Part& part : parts_of(problem, values)) {
      const memory::AnonymousMemory buffer(part.bytes->size());
      std::memcpy(buffer.data(), part.bytes->data(), part.bytes->size());
      if (written) written(part.kind, static_cast<std::uint32_t>(object), {buffer.data(), part.bytes->size()});
      store.write({part.kind, static_cast<std::uint32_t>(object), 0, part.bytes->size()}, slot, buffer.data());
    }
  }
}

std::vector<ToyObject> read_objects(store::Store& store, const schedule::Problem& problem, std::vector<ToyObject> like, int slot) {
  for (std::size_t object = 0; object < like.size(); ++object) {
    for (const Part& part : parts_of(problem, like[object])) {
      const memory::AnonymousMemory buffer(part.bytes->size());
      store.read({part.kind, static_cast<std::uint32_t>(object), 0, part.bytes->size()}, slot, buffer.data());
      std::memcpy(part.bytes->data(), buffer.data(), part.bytes->size());
    }
  }
  return like;
}

}  // namespace gsnake::runtime::test
