// The two halves of a master weight, on its bits (src/optim/bits.h has the same for the CPU). For .cu files only.
#pragma once

#include <cstdint>

#include "device.h"

namespace gsnake::kernels {

// To nearest, ties away from zero.
__device__ inline std::uint16_t split_weight(std::uint32_t master) { return static_cast<std::uint16_t>((master + 0x8000U) >> 16U); }
// The master's lower half as a signed number, because the weight's lower half is zero.
__device__ inline std::int16_t split_remainder(std::uint32_t master) { return static_cast<std::int16_t>(master & 0xffffU); }
__device__ inline std::uint32_t join_bits(std::uint16_t weight, std::int16_t remainder) {
  return (static_cast<std::uint32_t>(weight) << 16U) + static_cast<std::uint32_t>(static_cast<std::int32_t>(remainder));
}

}  // namespace gsnake::kernels
