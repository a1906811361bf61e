// The inner loops of one instruction set, as a table of functions. Private to this module.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/simd_tables.h"

namespace gsnake::quant {

inline constexpr std::size_t kBlock = 64;      // elements of a block of int8 and nf4
inline constexpr std::size_t kMxBlock = 32;    // of mxfp4
inline constexpr float kLeastAbsmax = 1e-38F;  // nf4: what a smaller absmax counts as where it divides

// Whole blocks: their codes, one scale for each, room for all their elements.
template <class Out>
using UnpackBlocks = void (*)(const std::byte* codes, const float* scales, std::size_t blocks, Out* out);

template <class Out>
struct Unpack {
  UnpackBlocks<Out> int8;
  UnpackBlocks<Out> nf4;
  UnpackBlocks<Out> mxfp4;
};

// Ranges may have any alignment, and no two overlap. Every table gives the same bits.
struct Kernels {
  const char* name;
  Unpack<float> to_fp32;
  Unpack<std::uint16_t> to_bf16;
  void (*widen_bf16)(const std::byte* bf16, std::size_t count, float* out);
  void (*round_bf16)(const std::byte* fp32, std::size_t count, std::uint16_t* out);
  // The greatest magnitude, as bits.
  std::uint32_t (*greatest)(const float* values, std::size_t count);
  // Whole blocks of finite values.
  void (*pack_int8)(const float* values, std::size_t blocks, std::byte* codes, float* scales);
  void (*pack_nf4)(const float* values, std::size_t blocks, std::byte* codes, float* absmax);
  void (*pack_mxfp4)(const float* values, std::size_t blocks, std::byte* codes, std::byte* scales);
};

// Plain C++: what every other table is compared with, and what runs where no instruction set fits.
const Kernels& scalar_kernels();

core::SimdTables<Kernels>& tables();

// The best one, or what force_target() named.
const Kernels& kernels();

}  // namespace gsnake::quant
