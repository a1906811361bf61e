// Of preference pairs: what their heads tell, summed up, as means.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "greedysnake/results.h"
#include "plan/problem.h"

namespace gsnake::train {

class RewardSums {
 public:
  // Those of micro-batches, in their order, so that the bits are those of no other; none under another objective.
  void add(std::span<const double> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums_[i % kWidth] += sums[i];
    any_ = any_ || !sums.empty();
  }
  // Nothing where none were added.
  [[nodiscard]] std::optional<Rewards> over(std::int64_t pairs) const {
    if (!any_) return std::nullopt;
    const double count = pairs == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(pairs);
    return Rewards{sums_[0] / count, sums_[1] / count, sums_[2] / count, (sums_[0] - sums_[1]) / count};
  }

 private:
  static constexpr std::size_t kWidth = plan::head_results(2) - 1;
  double sums_[kWidth] = {};
  bool any_ = false;
};

}  // namespace gsnake::train
