// Models with fewer units than a run's, by which what grows evenly with them is told without a graph of all.
#pragma once

#include <cstddef>
#include <vector>

#include "plan/model_layout.h"

namespace gsnake::plan {

using Counts = std::vector<std::size_t>;  // by shape, of the units between the first and the last

Counts counts_of(const ModelLayout& layout);

// So many units of each shape, each with a part of its elements.
ModelLayout reduced(const ModelLayout& layout, const Counts& kept, double part = 1.0);

}  // namespace gsnake::plan
