// The sum that a reduce_scatter makes, the same bits whoever makes it.
#pragma once

#include <cstddef>
#include <span>

namespace gsnake::dist {

// sum[i] = (parts[0][i] + parts[1][i]) + ... in fp32, of at least one part. `sum` overlaps no part.
void add_in_order(std::span<const float* const> parts, float* sum, std::size_t count);

}  // namespace gsnake::dist
