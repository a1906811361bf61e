// How weights and moments are stored, and conversions of whole spans between those formats and fp32.
#pragma once

#include <cstdint>
#include <span>

#include "greedysnake/choices.h"
#include "optim/target.h"

namespace gsnake::optim {

// How the compute weight is stored. The fp32 master weight is, beside it: nothing, for fp32 is its own master; for bf16 a 16-bit signed
// remainder, which with the weight restores the master's bits; for fp16 the master itself, in fp32.
using WeightFormat = Dtype;
using gsnake::MomentFormat;

std::uint64_t weight_bytes(WeightFormat format);  // per element: 4, 2, 2
std::uint64_t master_bytes(WeightFormat format);  // per element, beside the weight: 0, 2, 4
std::uint64_t moment_bytes(MomentFormat format);  // per element: 4, 2

// All of the following: spans of any equal size that do not overlap; the same bits on every target; never allocate; thread-safe on
// disjoint spans; throw Error(usage) when the sizes differ. docs/optimizer.md has the roundings.

// bf16: weight = the bf16 nearest to master, ties away from zero; remainder = bits(master) - (weight << 16) modulo 2^32. Every one of the
// 2^32 bit patterns survives split_master() and join_master(), those that are not finite included; but a NaN's bf16 may look finite, and a
// finite master from 0x1.ffp127 on has an infinite one: hence storable(), which comes first.
void split_master(std::span<const float> master, std::span<std::uint16_t> weight, std::span<std::int16_t> remainder,
                  Target target = Target::best);
void join_master(std::span<const std::uint16_t> weight, std::span<const std::int16_t> remainder, std::span<float> master,
                 Target target = Target::best);

// fp16: nearest, ties to even, as torch's cast: 65520 and more become infinite, what is under 2^-24 a denormal or zero. A NaN stays one.
void to_fp16(std::span<const float> master, std::span<std::uint16_t> weight, Target target = Target::best);

// Exact. A NaN stays one. Throws Error(usage) for WeightFormat::fp32 as well, which has nothing to widen.
void widen(WeightFormat format, std::span<const std::uint16_t> weight, std::span<float> wide, Target target = Target::best);

// Whether every value is finite and has a finite compute weight in `format`: magnitudes below infinity, 0x1.ffp127 and 65520. What
// Optimizer::update() asks of every new master weight, for the initial ones.
bool storable(WeightFormat format, std::span<const float> master);
// The smallest magnitude that is not, as its bits: those of magnitudes are ordered as they are, NaN last.
constexpr std::uint32_t unstorable_magnitude(WeightFormat format) {
  return format == WeightFormat::fp32 ? 0x7f800000 : format == WeightFormat::bf16 ? 0x7f7f8000 : 0x477ff000;
}

}  // namespace gsnake::optim
