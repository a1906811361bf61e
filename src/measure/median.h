#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace gsnake::measure {

// Of one value at least; of an even number the upper one of the two in the middle.
[[nodiscard]] inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace gsnake::measure
