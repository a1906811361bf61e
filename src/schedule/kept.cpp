#include "schedule/kept.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace gsnake::schedule {

std::vector<bool> kept_passes(const Problem& problem) {
  constexpr double kAlmost = 1e-9;  // that a fraction written in decimals may be off by
  const auto micro_batches = static_cast<std::size_t>(problem.micro_batches);
  std::vector<bool> kept(static_cast<std::size_t>(problem.unit_count()) * micro_batches, false);
  const int first = std::max(1, first_trained_unit(problem));
  const int last = problem.unit_count() - 2;
  if (first > last) return kept;
  const double passes = static_cast<double>(last - first + 1) * static_cast<double>(micro_batches);
  auto left = static_cast<std::size_t>(std::floor(problem.kept * passes + kAlmost));
  for (int unit = last; unit >= first && left > 0; --unit) {
    for (std::size_t m = 0; m < micro_batches && left > 0; ++m, --left) kept[static_cast<std::size_t>(unit) * micro_batches + m] = true;
  }
  return kept;
}

std::vector<int> kept_at_once(const Problem& problem) {
  const std::vector<bool> kept = kept_passes(problem);
  std::vector<int> counts;
  for (auto unit = kept.begin(); unit != kept.end(); unit += problem.micro_batches) {
    const auto count = static_cast<int>(std::count(unit, unit + problem.micro_batches, true));
    counts.push_back(problem.schedule == ScheduleKind::horizontal ? std::min(1, count) : count);
  }
  return counts;
}

}  // namespace gsnake::schedule
