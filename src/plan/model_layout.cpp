#include "plan/model_layout.h"

#include "schedule/problem.h"

namespace gsnake::plan {

std::vector<int> ModelLayout::objects_of(int unit) const {
  if (tied && static_cast<std::size_t>(unit) + 1 == units.size()) return {unit, 0};
  return {unit};
}

std::uint64_t ModelLayout::parameters() const {
  std::vector<std::uint64_t> of_shape;
  for (const UnitShape& each : shapes) {
    std::uint64_t& sum = of_shape.emplace_back(0);
    for (const optim::FlatParameter& parameter : each.flat.parameters) sum += parameter.info.numel;
  }
  std::uint64_t all = 0;
  for (const int unit : units) all += of_shape[static_cast<std::size_t>(unit)];
  return all;
}

std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout) {
  std::vector<std::vector<optim::DecayRun>> runs;
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    runs.push_back(layout.flat(unit).decay_runs(schedule::padded_elements(layout.flat(unit).elements)));
  }
  return runs;
}

}  // namespace gsnake::plan
