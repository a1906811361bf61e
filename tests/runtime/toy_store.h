// The toy model's state on SSD.
#pragma once

#include <functional>
#include <vector>

#include "runtime/toy_model.h"
#include "store/store.h"

namespace gsnake::runtime::test {

// Told of each kind of each object as it is written, padding included.
using Written = std::function<void(store::Kind kind, std::uint32_t object, std::span<const std::byte> bytes)>;
void write_objects(store::Store& store, const schedule::Problem& problem, const std::vector<ToyObject>& objects, int slot, const Written& written = {});
// Objects of the same sizes as `like`.
std::vector<ToyObject> read_objects(store::Store& store, const schedule::Problem& problem, std::vector<ToyObject> like, int slot);

}  // namespace gsnake::runtime::test
