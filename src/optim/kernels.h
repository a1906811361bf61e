// The inner loops of one instruction set, as a table of functions. Private to this module.
#pragma once

#include <cstddef>
#include <span>

#include "optim/adamw.h"

namespace gsnake::optim {

// No pointer may be null, none needs an alignment, and no two ranges may overlap. Every table gives the same bits (docs/optimizer.md).
struct Kernels {
  const char* name;
  // One recurrence step on `count` elements, all of which are multiplied by `decay` first (1: they do not decay).
  void (*adamw)(const AdamWStep& step, float decay, float* weight, float* moment1, float* moment2, const float* gradient,
                std::size_t count);
  // `blocks` sums, each over kNormBlock elements.
  void (*square_sums)(const float* gradient, double* partials, std::size_t blocks);
  void (*add_in_place)(float* destination, const float* source, std::size_t count);
};

// A block's sum is kept in this many independent partial sums, whatever the width of a vector.
inline constexpr std::size_t kSumLanes = 16;
static_assert(kNormBlock % kSumLanes == 0);

// Adds the partial sums pairwise, halves onto halves. `lanes` is overwritten.
inline double fold_lanes(std::span<double, kSumLanes> lanes) {
  for (std::size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// Plain C++: what every other table is compared with, and what runs where no instruction set fits.
const Kernels& scalar_kernels();

// Those that this CPU can run, best first; may be empty. The tables live as long as the program.
std::span<const Kernels* const> simd_kernels();

}  // namespace gsnake::optim
