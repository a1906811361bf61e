// What a run needs whose graphs are too large to be built on trial: from a few units, a few micro-batches and a few chunks, since all that
// a budget is charged with grows evenly with the number of each.
#pragma once

#include <vector>

#include "plan/memory_plan.h"
#include "plan/model_layout.h"
#include "plan/problem.h"

namespace gsnake::plan {

// Tasks of a rank's step, to within a factor of 2.
double about_tasks(const Config& config, const ModelLayout& layout, Purpose purpose);

// As least_memory() gives it, in sum between these. (What activations that a horizontal schedule keeps on several tiers take may be more:
// it goes by how the tiers' turns meet the units.) Time and memory depend on none of these numbers.
inline constexpr double kLeastOfExtrapolated = 0.98;
inline constexpr double kMostOfExtrapolated = 1.03;
std::vector<MemoryItem> extrapolated_memory(const Config& config, const ModelLayout& layout, Purpose purpose, const Overheads& overheads, bool one_memory = false);

}  // namespace gsnake::plan
