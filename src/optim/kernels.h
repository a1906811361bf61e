// The inner loops of one instruction set, as a table of functions. Private to this module.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/simd_tables.h"
#include "optim/formats.h"
#include "optim/norm.h"
#include "optim/optimizer.h"
#include "optim/rules.h"

namespace gsnake::optim {

// A block's sum of squares is kept in this many independent partial sums, whatever the width of a vector.
inline constexpr std::size_t kSumLanes = 16;
static_assert(kNormBlock % kSumLanes == 0);
using SumLanes = std::array<double, kSumLanes>;

// Elements of one chunk, all of which decay or none.
struct Piece {
  std::byte* weight = nullptr;
  std::byte* master = nullptr;
  std::byte* state0 = nullptr;
  std::byte* state1 = nullptr;
  const float* gradient = nullptr;
  std::size_t count = 0;
  SumLanes* sums = nullptr;    // if set, the squares of the gradient are added to them
  std::size_t first_lane = 0;  // the partial sum of the first element; 0 for all tables but the scalar one
};

// Adds the partial sums pairwise, halves onto halves. `lanes` is overwritten.
inline double fold_lanes(SumLanes& lanes) {
  for (std::size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// One update of a piece in place. Returns the greatest magnitude among the new master weights as bits (see bits.h), 0 for none.
using UpdateKernel = std::uint32_t (*)(const RuleStep& step, float decay, const Piece& piece);

// Every rule with every format of weights and moments: of all tables the same ones, made from one template.
using UpdateKernels = std::array<UpdateKernel, kRules * kWeightFormats * kMomentFormats>;
constexpr std::size_t update_index(UpdateRule rule, WeightFormat weights, MomentFormat moments) {
  return (static_cast<std::size_t>(rule) * kWeightFormats + static_cast<std::size_t>(weights)) * kMomentFormats +
         static_cast<std::size_t>(moments);
}
constexpr UpdateRule rule_at(std::size_t index) { return static_cast<UpdateRule>(index / (kWeightFormats * kMomentFormats)); }
constexpr WeightFormat weights_at(std::size_t index) { return static_cast<WeightFormat>(index / kMomentFormats % kWeightFormats); }
constexpr MomentFormat moments_at(std::size_t index) { return static_cast<MomentFormat>(index % kMomentFormats); }

// No pointer that is used may be null, none needs an alignment, and no two ranges may overlap. Every table gives the same bits
// (docs/optimizer.md).
struct Kernels {
  const char* name;
  UpdateKernels update;
  // Adds the squares of `count` elements (a multiple of kSumLanes) to the partial sums, from the first one on.
  void (*add_squares)(const float* gradient, std::size_t count, SumLanes& lanes);
  void (*add_in_place)(float* destination, const float* source, std::size_t count);
  void (*split_master)(const float* master, std::uint16_t* weight, std::int16_t* remainder, std::size_t count);
  void (*join_master)(const std::uint16_t* weight, const std::int16_t* remainder, float* master, std::size_t count);
  void (*to_fp16)(const float* master, std::uint16_t* weight, std::size_t count);
  void (*widen_bf16)(const std::uint16_t* weight, float* wide, std::size_t count);
  void (*widen_fp16)(const std::uint16_t* weight, float* wide, std::size_t count);
};

// The piece without its first `offset` elements, and without its sums.
template <WeightFormat W, MomentFormat M>
Piece skip(const Piece& piece, std::size_t offset) {
  constexpr std::size_t kWeight = W == WeightFormat::fp32 ? 4 : 2;
  constexpr std::size_t kMaster = W == WeightFormat::fp32 ? 0 : W == WeightFormat::bf16 ? 2 : 4;
  constexpr std::size_t kMoment = M == MomentFormat::fp32 ? 4 : 2;
  Piece rest = piece;
  rest.weight += kWeight * offset;
  rest.master += kMaster * offset;
  rest.state0 += kMoment * offset;
  if (rest.state1 != nullptr) rest.state1 += kMoment * offset;
  rest.gradient += offset;
  rest.count -= offset;
  rest.sums = nullptr;
  return rest;
}

// The sums of any elements, the first of which belongs to `lane`.
inline void add_some_squares(const float* gradient, std::size_t count, std::size_t lane, SumLanes& lanes) {
  for (std::size_t i = 0; i < count; ++i) {
    const double g = gradient[i];
    lanes[(lane + i) % kSumLanes] += g * g;  // exact product (24 + 24 bits), so a fused multiply-add gives the same
  }
}

// Plain C++: what every other table is compared with, and what runs where no instruction set fits.
const Kernels& scalar_kernels();

core::SimdTables<Kernels>& tables();

// What Target means now.
const Kernels& kernels_for(Target target);

// Throws Error(usage) that names the function.
void check_sizes(bool equal, const char* what);

}  // namespace gsnake::optim
