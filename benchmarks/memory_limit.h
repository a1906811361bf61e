// A loop that moves an update's bytes and hardly computes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace gsnake::bench {

// One array of an update. Memory is taken 32 elements at a time: a cache line of 2-byte elements, two of 4-byte ones.
struct Stream {
  std::uint32_t* data = nullptr;
  std::size_t element_bytes = 0;  // 2, 4, or 0: there is none
};

struct Streams {
  Stream weight;
  bool reads_weight = true;
  Stream master;
  std::array<Stream, 2> moments;
  const std::uint32_t* gradient = nullptr;  // 4-byte elements, read only
};

// Reads and writes `elements` (a multiple of 32) of every stream, which afterwards hold what they held before, but for a weight that is not
// read. `ahead`: how many elements ahead the data is asked for; 0 leaves that to the hardware.
void move_bytes(const Streams& streams, std::size_t elements, std::size_t ahead);

}  // namespace gsnake::bench
