#include "plan/reduction.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace gsnake::plan {

Counts counts_of(const ModelLayout& layout) {
  Counts counts(layout.shapes.size(), 0);
  for (std::size_t unit = 1; unit + 1 < layout.units.size(); ++unit) ++counts[static_cast<std::size_t>(layout.units[unit])];
  return counts;
}

ModelLayout reduced(const ModelLayout& layout, const Counts& kept, double part) {
  ModelLayout smaller;
  smaller.shapes = layout.shapes;
  for (UnitShape& shape : smaller.shapes) {
    for (std::uint64_t* elements : {&shape.flat.elements, &shape.frozen.elements}) {
      const auto fewer = static_cast<std::uint64_t>(std::llround(static_cast<double>(*elements) * part));
      *elements = std::min(*elements, std::max<std::uint64_t>(1, fewer));
    }
  }
  smaller.hidden = layout.hidden;
  smaller.vocab = layout.vocab;
  Counts left = kept;
  std::size_t all = std::accumulate(kept.begin(), kept.end(), std::size_t{0});
  smaller.units.push_back(layout.units.front());
  for (std::size_t unit = 1; all > 0; ++unit) {
    std::size_t& more = left[static_cast<std::size_t>(layout.units[unit])];
    if (more == 0) continue;
    smaller.units.push_back(layout.units[unit]);
    --more;
    --all;
  }
  smaller.units.push_back(layout.units.back());
  smaller.find_split_units();
  smaller.tied = layout.tied;
  const bool is_unit = static_cast<std::size_t>(layout.tied_object) < layout.units.size();
  smaller.tied_object = is_unit ? layout.tied_object : static_cast<int>(smaller.units.size());
  return smaller;
}

}  // namespace gsnake::plan
