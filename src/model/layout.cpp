#include "model/layout.h"

#include <algorithm>

#include "greedysnake/error.h"
#include "model/binding.h"

namespace gsnake::model {
namespace {

void check_shape(const Model& model) {
  if (model.units.size() < 2) throw Error(ErrorKind::usage, "model: it needs an embedding and a head at least");
  const auto kind_of = [&](std::size_t unit) -> const UnitKind& { return model.kinds.at(static_cast<std::size_t>(model.units[unit])); };
  if (dynamic_cast<EmbeddingUnit*>(kind_of(0).module.get()) == nullptr) {
    throw Error(ErrorKind::usage, "model: the first unit (" + kind_of(0).name + ") must be an EmbeddingUnit");
  }
  if (dynamic_cast<HeadUnit*>(kind_of(model.units.size() - 1).module.get()) == nullptr) {
    throw Error(ErrorKind::usage, "model: the last unit (" + kind_of(model.units.size() - 1).name + ") must be a HeadUnit");
  }
  for (std::size_t unit = 1; unit + 1 < model.units.size(); ++unit) {
    if (dynamic_cast<Unit*>(kind_of(unit).module.get()) == nullptr) {
      throw Error(ErrorKind::usage, "model: unit " + std::to_string(unit) + " (" + kind_of(unit).name + ") must be a Unit");
    }
  }
  if (model.tied.size() > 1) throw Error(ErrorKind::usage, "model: at most one parameter can be tied");
  if (!model.initialize) throw Error(ErrorKind::usage, "model: it has no initializer");
}

// In two objects where some take gradients and some don't.
void lay_out(plan::UnitShape& shape, const std::vector<optim::ParameterInfo>& parameters, bool decay_1d, const std::string& excluded = {}) {
  const auto count = [&](bool trained) {
    return std::count_if(parameters.begin(), parameters.end(), [&](const auto& info) { return info.trained == trained && info.name != excluded; });
  };
  shape.trained = count(true) > 0;
  const bool is_split = shape.trained && count(false) > 0;
  shape.flat = optim::make_flat_layout(parameters, decay_1d, excluded, is_split ? std::optional(true) : std::nullopt);
  shape.frozen = is_split ? optim::make_flat_layout(parameters, decay_1d, excluded, false) : optim::FlatLayout();
}

// The embedding's parameter that a head uses too.
void find_shared(plan::ModelLayout& layout, const std::string& name) {
  for (const int object : layout.own_objects_of(0)) {
    for (const optim::FlatParameter& stored : layout.flat(static_cast<std::size_t>(object)).parameters) {
      if (stored.info.name != name) continue;
      layout.tied_object = object;
      layout.tied_offset = stored.offset;
      layout.tied_sizes = stored.info.sizes;
      return;
    }
  }
  throw Error(ErrorKind::usage, "model: the embedding has no parameter " + name + " to tie");
}

// Of a head that has one of the embedding's parameters: a shape of its own, as another unit of its kind would keep that parameter.
void share(plan::ModelLayout& layout, const TiedParameter& tied, const std::vector<optim::ParameterInfo>& of_head, bool decay_1d) {
  layout.tied = true;
  plan::UnitShape head = layout.shape(layout.units.size() - 1);
  lay_out(head, of_head, decay_1d, tied.head_name);
  const auto shared = std::find_if(of_head.begin(), of_head.end(), [&](const auto& info) { return info.name == tied.head_name; });
  layout.tied_head_index = static_cast<std::size_t>(shared - of_head.begin());
  layout.units.back() = static_cast<int>(layout.shapes.size());
  layout.shapes.push_back(std::move(head));
}

}  // namespace

plan::ModelLayout layout_of(const Model& model, bool decay_1d) {
  check_shape(model);
  plan::ModelLayout layout;
  layout.hidden = model.hidden;
  layout.vocab = model.vocab;
  layout.units = model.units;
  for (const UnitKind& kind : model.kinds) {
    plan::UnitShape& shape = layout.shapes.emplace_back();
    lay_out(shape, parameters_of(*kind.module), decay_1d);
    const auto elements = static_cast<double>(shape.flat.elements + shape.frozen.elements);
    shape.forward_flops_per_token = kind.forward_flops_per_token > 0 ? kind.forward_flops_per_token : 2.0 * elements;
  }
  if (!model.tied.empty()) {
    share(layout, model.tied.front(), parameters_of(*model.kinds[static_cast<std::size_t>(model.units.back())].module), decay_1d);
  }
  layout.find_split_units();
  if (layout.tied) find_shared(layout, model.tied.front().embedding_name);
  return layout;
}

std::string name_of_unit(const Model& model, int unit) {
  const auto kind = static_cast<std::size_t>(model.units.at(static_cast<std::size_t>(unit)));
  return "unit " + std::to_string(unit) + " (" + model.kinds[kind].name + ")";
}

}  // namespace gsnake::model
