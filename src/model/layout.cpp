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

const optim::FlatParameter& find(const optim::FlatLayout& layout, const std::string& name) {
  const auto found = std::find_if(layout.parameters.begin(), layout.parameters.end(), [&](const auto& p) { return p.info.name == name; });
  if (found == layout.parameters.end()) throw Error(ErrorKind::usage, "model: the embedding has no parameter " + name + " to tie");
  return *found;
}

// Of a head that has one of the embedding's parameters: a shape of its own, as another unit of its kind would keep that parameter.
void share(plan::ModelLayout& layout, const TiedParameter& tied, const std::vector<optim::ParameterInfo>& of_head, bool decay_1d) {
  layout.tied = true;
  plan::UnitShape head = layout.shape(layout.units.size() - 1);
  head.flat = optim::make_flat_layout(of_head, decay_1d, tied.head_name);
  const auto shared = std::find_if(of_head.begin(), of_head.end(), [&](const auto& info) { return info.name == tied.head_name; });
  layout.tied_head_index = static_cast<std::size_t>(shared - of_head.begin());
  const optim::FlatParameter& stored = find(layout.flat(0), tied.embedding_name);
  layout.tied_offset = stored.offset;
  layout.tied_sizes = stored.info.sizes;
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
    shape.flat = optim::make_flat_layout(parameters_of(*kind.module), decay_1d);
    shape.forward_flops_per_token = kind.forward_flops_per_token > 0 ? kind.forward_flops_per_token : 2.0 * static_cast<double>(shape.flat.elements);
  }
  if (!model.tied.empty()) {
    share(layout, model.tied.front(), parameters_of(*model.kinds[static_cast<std::size_t>(model.units.back())].module), decay_1d);
  }
  return layout;
}

std::string name_of_unit(const Model& model, int unit) {
  const auto kind = static_cast<std::size_t>(model.units.at(static_cast<std::size_t>(unit)));
  return "unit " + std::to_string(unit) + " (" + model.kinds[kind].name + ")";
}

}  // namespace gsnake::model
