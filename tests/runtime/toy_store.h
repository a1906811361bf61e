// The toy model's state on SSD.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/base_hashes.h"
#include "runtime/toy_model.h"
#include "store/store.h"

namespace gsnake::runtime::test {

// A file with the packed objects of a problem, and other bytes before them.
class ToyBase {
 public:
  ToyBase(const std::string& path, const schedule::Problem& problem, const std::vector<ToyObject>& objects);
  [[nodiscard]] const store::BaseFile& file() const { return file_; }
  [[nodiscard]] BaseHashes hashes() const { return {blocks_, first_block_}; }  // borrowed

 private:
  store::BaseFile file_;
  std::vector<std::uint64_t> blocks_;
  std::vector<std::uint64_t> first_block_;
};

// Told of each kind of each object as it is written, what the problem's rank owns of it, padding included; but not of packed weights, which are in a base.
using Written = std::function<void(store::Kind kind, std::uint32_t object, std::span<const std::byte> bytes)>;
void write_objects(store::Store& store, const schedule::Problem& problem, const std::vector<ToyObject>& objects, int slot, const Written& written = {});
// Objects like `like`, but for what the rank owns of them.
std::vector<ToyObject> read_objects(store::Store& store, const schedule::Problem& problem, std::vector<ToyObject> like, int slot);

// `like`, with what the problem's rank owns as `whole` has it.
std::vector<ToyObject> with_own_parts(const schedule::Problem& problem, std::vector<ToyObject> like, std::vector<ToyObject> whole);

}  // namespace gsnake::runtime::test
