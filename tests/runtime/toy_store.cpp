#include "runtime/toy_store.h"

#include <algorithm>
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

// What the problem's rank owns of it; of a base, all.
std::span<std::byte> owned_of(const schedule::Object& object, const Part& part) {
  if (part.kind == store::Kind::base) return *part.bytes;
  const std::size_t width = part.bytes->size() / object.cells();
  return std::span(*part.bytes).subspan(object.range().begin * width, object.range().cells * width);
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
      const std::span<std::byte> own = owned_of(problem.objects[object], part);
      if (own.empty()) continue;
      const memory::AnonymousMemory buffer(own.size());
      std::memcpy(buffer.data(), own.data(), own.size());
      if (written) written(part.kind, static_cast<std::uint32_t>(object), {buffer.data(), own.size()});
      store.write({part.kind, static_cast<std::uint32_t>(object), 0, own.size()}, slot, buffer.data());
    }
  }
}

std::vector<ToyObject> read_objects(store::Store& store, const schedule::Problem& problem, std::vector<ToyObject> like, int slot) {
  for (std::size_t object = 0; object < like.size(); ++object) {
    for (const Part& part : parts_of(problem.objects[object], like[object])) {
      const std::span<std::byte> own = owned_of(problem.objects[object], part);
      if (own.empty()) continue;
      const memory::AnonymousMemory buffer(own.size());
      store.read({part.kind, static_cast<std::uint32_t>(object), 0, own.size()}, slot, buffer.data());
      std::memcpy(own.data(), buffer.data(), own.size());
    }
  }
  return like;
}

std::vector<ToyObject> with_own_parts(const schedule::Problem& problem, std::vector<ToyObject> like, std::vector<ToyObject> whole) {
  for (std::size_t object = 0; object < like.size(); ++object) {
    const std::vector<Part> to = parts_of(problem.objects[object], like[object]);
    const std::vector<Part> from = parts_of(problem.objects[object], whole[object]);
    for (std::size_t part = 0; part < to.size(); ++part) {
      const std::span<std::byte> own = owned_of(problem.objects[object], from[part]);
      std::copy(own.begin(), own.end(), owned_of(problem.objects[object], to[part]).begin());
    }
  }
  return like;
}

}  // namespace gsnake::runtime::test
