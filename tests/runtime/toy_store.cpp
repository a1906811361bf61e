#include "runtime/toy_store.h"

#include <cstring>

#include "memory/anonymous.h"

namespace gsnake::runtime::test {
namespace {

// What is stored of an object, by kind.
struct Part {
  store::Kind kind = store::Kind::weights;
  std::vector<std::byte>* bytes = nullptr;
};

std::vector<Part> parts_of(const schedule::Object& object, ToyObject& stored) {
  std::vector<Part> parts{{store::Kind::weights, &stored.weights}};
  for (std::size_t k = 0; k < stored.states.size(); ++k) parts.push_back({object.state_kind(k), &stored.states[k]});
  return parts;
}

}  // namespace

void write_objects(store::Store& store, const schedule::Problem& problem, const std::vector<ToyObject>& objects, int slot, const Written& written) {
  for (std::size_t object = 0; object < objects.size(); ++object) {
    ToyObject values = objects[object];
    for (const Part& part : parts_of(problem.objects[object], values)) {
      const memory::AnonymousMemory buffer(part.bytes->size());
      std::memcpy(buffer.data(), part.bytes->data(), part.bytes->size());
      if (written) written(part.kind, static_cast<std::uint32_t>(object), {buffer.data(), part.bytes->size()});
      store.write({part.kind, static_cast<std::uint32_t>(object), 0, part.bytes->size()}, slot, buffer.data());
    }
  }
}

std::vector<ToyObject> read_objects(store::Store& store, const schedule::Problem& problem, std::vector<ToyObject> like, int slot) {
  for (std::size_t object = 0; object < like.size(); ++object) {
    for (const Part& part : parts_of(problem.objects[object], like[object])) {
      const memory::AnonymousMemory buffer(part.bytes->size());
      store.read({part.kind, static_cast<std::uint32_t>(object), 0, part.bytes->size()}, slot, buffer.data());
      std::memcpy(part.bytes->data(), buffer.data(), part.bytes->size());
    }
  }
  return like;
}

}  // namespace gsnake::runtime::test
