#include "plan/model_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "core/bytes.h"
#include "schedule/problem.h"
#include "store/layout/objects.h"

namespace gsnake::plan {

double UnitShape::trained_share() const {
  if (!trained) return 0.0;
  return static_cast<double>(flat.elements) / static_cast<double>(std::max<std::uint64_t>(flat.elements + frozen.elements, 1));
}

void ModelLayout::find_split_units() {
  split_units.clear();
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (!shape(unit).frozen.parameters.empty()) split_units.push_back(static_cast<int>(unit));
  }
}

bool is_adapter_parameter(std::string_view name) { return name.substr(name.rfind('.') + 1).starts_with("lora_"); }

std::optional<ModelLayout::Place> ModelLayout::find(std::size_t unit, std::string_view parameter) const {
  for (const int own : own_objects_of(static_cast<int>(unit))) {
    const auto object = static_cast<std::size_t>(own);
    for (std::size_t i = 0; i < flat(object).parameters.size(); ++i) {
      if (flat(object).parameters[i].info.name == parameter) return Place{object, i};
    }
  }
  return std::nullopt;
}

std::vector<int> ModelLayout::own_objects_of(int unit) const {
  std::vector<int> objects{unit};
  const auto split = std::find(split_units.begin(), split_units.end(), unit);
  if (split != split_units.end()) objects.push_back(static_cast<int>(units.size()) + static_cast<int>(split - split_units.begin()));
  return objects;
}

std::vector<int> ModelLayout::objects_of(int unit) const {
  std::vector<int> objects = own_objects_of(unit);
  if (tied && static_cast<std::size_t>(unit) + 1 == units.size()) objects.push_back(tied_object);
  return objects;
}

std::string ModelLayout::frozen_parameters() const {
  std::string names;
  for (std::size_t object = units.size(); object < object_count(); ++object) {
    for (const optim::FlatParameter& parameter : flat(object).parameters) {
      names += fmt::format("{} {} {}\n", unit_of(object), parameter.info.name, fmt::join(parameter.info.sizes, "x"));
    }
  }
  return names.empty() ? names : fmt::format("{:016x}", store::checksum_of(std::as_bytes(std::span(names))));
}

std::uint64_t ModelLayout::parameters() const {
  std::vector<std::uint64_t> of_shape;
  for (const UnitShape& each : shapes) {
    std::uint64_t& sum = of_shape.emplace_back(0);
    for (const optim::FlatLayout* flat : {&each.flat, &each.frozen}) {
      for (const optim::FlatParameter& parameter : flat->parameters) sum += parameter.info.numel;
    }
  }
  std::uint64_t all = 0;
  for (const int unit : units) all += of_shape[static_cast<std::size_t>(unit)];
  return all;
}

std::uint64_t ModelLayout::trained_parameters() const {
  std::uint64_t all = 0;
  for (std::size_t object = 0; object < object_count(); ++object) {
    if (!is_trained(object)) continue;
    for (const optim::FlatParameter& parameter : flat(object).parameters) all += parameter.info.numel;
  }
  return all;
}

std::vector<int> ModelLayout::one_of_each_shape() const {
  std::vector<int> found;
  std::vector<bool> seen(shapes.size(), false);
  for (std::size_t unit = units.size(); unit-- > 0;) {
    const auto shape = static_cast<std::size_t>(units[unit]);
    if (!seen[shape]) found.push_back(static_cast<int>(unit));
    seen[shape] = true;
  }
  return found;
}

std::uint64_t ModelLayout::largest_object() const {
  std::uint64_t largest = 0;
  for (std::size_t object = 0; object < object_count(); ++object) largest = std::max(largest, flat(object).elements);
  return largest;
}

namespace {

constexpr std::uint64_t kPage = 4096;

bool is_matrix(const optim::FlatParameter& parameter) { return parameter.info.dims == 2; }

std::uint64_t matrix_elements(const optim::FlatLayout& flat) {
  std::uint64_t elements = 0;
  for (const optim::FlatParameter& parameter : flat.parameters) elements += is_matrix(parameter) ? core::round_up(parameter.info.numel, optim::kParameterAlignment) : 0;
  return elements;
}

// Whole rows.
std::uint64_t part_of(const optim::FlatParameter& matrix) {
  const auto columns = static_cast<std::uint64_t>(matrix.info.sizes[1]);
  return std::min(matrix.info.numel, std::max(columns, kDequantisedAtOnce / columns * columns));
}

}  // namespace

bool dequantised_whole(const ModelLayout& layout, std::size_t shape, std::uint64_t most_bytes, std::uint64_t width) {
  const bool is_embedding = static_cast<int>(shape) == layout.units.front();
  return !is_embedding && matrix_elements(layout.shapes[shape].what_is_frozen()) * width <= most_bytes;
}

std::uint64_t packed_matrix_elements(const ModelLayout& layout, std::size_t shape) {
  const UnitShape& one = layout.shapes[shape];
  return one.is_packed() && static_cast<int>(shape) != layout.units.front() ? matrix_elements(one.what_is_frozen()) : 0;
}

DequantisedElements dequantised_elements(const ModelLayout& layout, std::uint64_t most_bytes, std::uint64_t width) {
  DequantisedElements all;
  for (const int used : layout.units) {
    const auto index = static_cast<std::size_t>(used);
    const UnitShape& shape = layout.shapes[index];
    if (!shape.is_packed()) continue;
    const optim::FlatLayout& flat = shape.what_is_frozen();
    const bool whole = dequantised_whole(layout, index, most_bytes, width);
    if (whole) all.whole = std::max(all.whole, matrix_elements(flat));
    std::uint64_t vectors = 0;
    for (const optim::FlatParameter& parameter : flat.parameters) {
      if (!is_matrix(parameter)) vectors += core::round_up(parameter.info.numel, optim::kParameterAlignment);
      if (is_matrix(parameter) && !whole) all.part = std::max(all.part, part_of(parameter));
    }
    all.vectors = std::max(all.vectors, vectors);
  }
  return all;
}

std::uint64_t DequantisedElements::bytes(std::uint64_t width) const {
  return core::round_up(whole * width, kPage) + core::round_up(part * width, kPage) + core::round_up(vectors * width, kPage);
}

std::uint64_t WidenedElements::bytes(std::uint64_t width) const {
  return core::round_up(alone * width, kPage) + core::round_up(beside * width, kPage) + core::round_up(shared * width, kPage);
}

WidenedElements widened_elements(const ModelLayout& layout) {
  WidenedElements widened;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    if (layout.is_packed(object)) continue;
    std::uint64_t& most = layout.is_shared(object) ? widened.shared : object < layout.units.size() ? widened.alone : widened.beside;
    most = std::max(most, layout.flat(object).elements);
  }
  return widened;
}

std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout) {
  std::vector<std::vector<optim::DecayRun>> runs;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    runs.push_back(layout.flat(object).decay_runs(schedule::padded_elements(layout.flat(object).elements)));
  }
  return runs;
}

}  // namespace gsnake::plan
