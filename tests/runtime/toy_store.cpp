#include "runtime/toy_store.h"

#include <cstring>
#include <fstream>

#include "memory/anonymous.h"

namespace gsnake::runtime::test {
namespace {

// What is stored of an object, by kind.
struct Part {
  store::Kind kind = store::Kind::weights;
  std::vector<std::byte>* bytes = nullptr;
};

std::vector<Part> parts_of(const schedule::Object& object, ToyObject& stored) {
  std::vector<Part> parts{{object.packed() ? store::Kind::base : store::Kind::weights, &stored.weights}};
  for (std::size_t k = 0; k < stored.states.size(); ++k) parts.push_back({object.state_kind(k), &stored.states[k]});
  return parts;
}

}  // namespace

ToyBase::ToyBase(const std::string& path, const schedule::Problem& problem, const std::vector<ToyObject>& objects) {
  file_.path = path;
  std::vector<std::byte> bytes(3 * core::kBaseBlockBytes, std::byte{0x5a});  // somebody else's
  for (std::size_t object = 0; object < objects.size(); ++object) {
    const bool packed = problem.objects[object].packed();
    first_block_.push_back(bytes.size() / core::kBaseBlockBytes);
    file_.objects.push_back({packed ? bytes.size() : 0, packed ? objects[object].weights.size() : 0});
    if (packed) bytes.insert(bytes.end(), objects[object].weights.begin(), objects[object].weights.end());
  }
  for (std::size_t at = 0; at < bytes.size(); at += core::kBaseBlockBytes) {
    blocks_.push_back(store::checksum_of(std::span(bytes).subspan(at, core::kBaseBlockBytes)));
  }
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void write_objects(store::Store& store, const schedule::Problem& problem, const std::vector<ToyObject>& objects, int slot, const Written& written) {
  for (std::size_t object = 0; object < objects.size(); ++object) {
    ToyObject values = objects[object];
    for (const Part& part : parts_of(problem.objects[object], values)) {
      if (part.kind == store::Kind::base) continue;
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
