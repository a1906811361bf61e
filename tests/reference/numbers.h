// Roundings and sums whose order is documented, element by element: a second implementation, to compare with.
#pragma once

#include <cstdint>
#include <span>

namespace gsnake::reference {

// The upper half of the bf16 nearest to `master`, ties away from zero: how a bf16 compute weight follows from its master.
std::uint16_t compute_weight_bf16(float master);
// The nearest bf16 as fp32, ties to even: how a bf16 moment is stored.
float nearest_even_bf16(float value);

// The sum of squares of a flat gradient, zeros up to a multiple of 2048 behind it: docs/optimizer.md, "Global gradient norm". Added to
// `sum` block by block, in double.
void add_squares(std::span<const float> gradient, double& sum);

}  // namespace gsnake::reference
