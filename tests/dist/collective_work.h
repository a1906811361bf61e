// Collectives whose results show in their bits in which order ranks were added.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/collective.h"

namespace gsnake::dist::test {

// The largest part that is added up, in bytes: more than what is added up at once.
std::uint64_t largest_part();
// What this rank has after an all_gather and a reduce_scatter of each size, one after another.
std::vector<float> results_of(runtime::Collective& collective, int rank);

}  // namespace gsnake::dist::test
