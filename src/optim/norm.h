// Sums over gradients: the global norm, and the gradients of two users of one object.
#pragma once

#include <cstddef>
#include <span>

#include "optim/target.h"

namespace gsnake::optim {

// Norm partials are taken over blocks of this many elements, so that a sum does not depend on how an object is cut into chunks.
inline constexpr std::size_t kNormBlock = 2048;

// Sums of squares of `gradient` in double, one per block of kNormBlock elements, into `partials` (size / kNormBlock values); the order
// inside a block is fixed (docs/optimizer.md), whatever the target. A non-finite element, and nothing else, makes its block's sum
// non-finite. Never allocates. Throws Error(usage) when gradient.size() != partials.size() * kNormBlock.
void square_sums(std::span<const float> gradient, std::span<double> partials, Target target = Target::best);

// The square root of the sum, added from the first partial to the last in double: the caller's order of blocks (objects in the store's
// order, blocks in an object's order) is part of the result. Non-finite when a partial is. 0 for none.
double total_norm(std::span<const double> partials);

// destination += source, element by element (fp32); any size, no overlap. Never allocates. Throws Error(usage) when the sizes differ.
void add_in_place(std::span<float> destination, std::span<const float> source, Target target = Target::best);

}  // namespace gsnake::optim
