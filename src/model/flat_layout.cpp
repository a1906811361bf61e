#include "model/flat_layout.h"

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::model {

std::vector<DecaySpan> FlatLayout::decay_spans(std::uint64_t padded_elements) const {
  if (padded_elements < elements) {
    throw Error(ErrorKind::usage, "flat layout: " + std::to_string(padded_elements) + " elements can't hold a unit of " +
                                      std::to_string(elements) + "; pad to at least the unit's size");
  }
  std::vector<DecaySpan> spans;
  for (const FlatParameter& parameter : parameters) {
    if (spans.empty() || spans.back().decays != parameter.decays) {
      if (!spans.empty()) spans.back().end = parameter.offset;
      spans.push_back({parameter.offset, padded_elements, parameter.decays});
    }
  }
  if (spans.empty() && padded_elements > 0) spans.push_back({0, padded_elements, false});
  return spans;
}

FlatLayout make_flat_layout(std::span<const ParameterInfo> parameters, bool decay_1d, std::string_view excluded) {
  const auto is_excluded = [&](const ParameterInfo& info) { return !excluded.empty() && info.name == excluded; };
  if (!excluded.empty() && std::none_of(parameters.begin(), parameters.end(), is_excluded)) {
    throw Error(ErrorKind::usage,
                "flat layout: the module has no parameter '" + std::string(excluded) + "'; name one of named_parameters()");
  }
  FlatLayout layout;
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const ParameterInfo& info = parameters[index];
    if (is_excluded(info)) continue;
    layout.parameters.push_back({info, index, layout.elements, info.dims >= 2 || decay_1d});
    layout.elements += (info.numel + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment;
  }
  return layout;
}

}  // namespace gsnake::model
