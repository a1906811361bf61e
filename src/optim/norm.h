// The global gradient norm, from the partial sums of square_sums().
#pragma once

#include <span>

namespace gsnake::optim {

// The square root of the sum, added from the first partial to the last in double: the caller's order of blocks (objects in the store's
// order, blocks in an object's order) is part of the result. Non-finite when a partial is. 0 for none.
double total_norm(std::span<const double> partials);

}  // namespace gsnake::optim
