#include "optim/flat_layout.h"

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::optim {

std::vector<DecayRun> FlatLayout::decay_runs(std::uint64_t padded_elements) const {
  if (padded_elements < elements) {
    throw Error(ErrorKind::usage, "flat layout: " + std::to_string(padded_elements) + " elements can't hold a unit of " +
                                      std::to_string(elements) + "; pad to at least the unit's size");
  }
  std::vector<DecayRun> runs;
  for (const FlatParameter& parameter : parameters) {
    if (runs.empty() || runs.back().decays != parameter.decays) {
      if (!runs.empty()) runs.back().end = parameter.offset;
      runs.push_back({parameter.offset, padded_elements, parameter.decays});
    }
  }
  if (runs.empty() && padded_elements > 0) runs.push_back({0, padded_elements, false});
  return runs;
}

FlatLayout make_flat_layout(std::span<const ParameterInfo> parameters, bool decay_1d, std::string_view excluded, std::optional<bool> trained) {
  const auto is_excluded = [&](const ParameterInfo& info) { return !excluded.empty() && info.name == excluded; };
  if (!excluded.empty() && std::none_of(parameters.begin(), parameters.end(), is_excluded)) {
    throw Error(ErrorKind::usage,
                "flat layout: the module has no parameter '" + std::string(excluded) + "'; name one of named_parameters()");
  }
  FlatLayout layout;
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const ParameterInfo& info = parameters[index];
    if (is_excluded(info) || (trained && info.trained != *trained)) continue;
    layout.parameters.push_back({info, index, layout.elements, info.dims >= 2 || decay_1d});
    layout.elements += (info.numel + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment;
  }
  return layout;
}

}  // namespace gsnake::optim
