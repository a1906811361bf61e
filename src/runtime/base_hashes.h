// What the reads of a base are checked against.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnake::runtime {

struct BaseHashes {
  std::span<const std::uint64_t> blocks = {};   // XXH3-64 of each core::kBaseBlockBytes of the base's file; borrowed
  std::vector<std::uint64_t> first_block = {};  // by object: its first one; of no meaning where the object is not packed
};

}  // namespace gsnake::runtime
