#include "plan/model_layout.h"

#include <algorithm>

#include "greedysnake/error.h"
#include "schedule/problem.h"

namespace gsnake::plan {
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

const model::FlatParameter& find(const model::FlatLayout& layout, const std::string& name) {
  const auto found = std::find_if(layout.parameters.begin(), layout.parameters.end(), [&](const auto& p) { return p.info.name == name; });
  if (found == layout.parameters.end()) throw Error(ErrorKind::usage, "model: the embedding has no parameter " + name + " to tie");
  return *found;
}

}  // namespace

std::vector<int> ModelLayout::objects_of(int unit) const {
  if (tied && static_cast<std::size_t>(unit) + 1 == units.size()) return {unit, 0};
  return {unit};
}

std::uint64_t ModelLayout::parameters() const {
  std::uint64_t sum = 0;
  for (const model::FlatLayout& unit : units) {
    for (const model::FlatParameter& parameter : unit.parameters) sum += parameter.info.numel;
  }
  return sum;
}

ModelLayout make_model_layout(const Model& model, bool decay_1d) {
  check_shape(model);
  ModelLayout layout;
  layout.tied = !model.tied.empty();
  for (std::size_t unit = 0; unit < model.units.size(); ++unit) {
    const auto infos = model::parameters_of(*model.kinds.at(static_cast<std::size_t>(model.units[unit])).module);
    const bool tied_head = layout.tied && unit + 1 == model.units.size();
    layout.units.push_back(model::make_flat_layout(infos, decay_1d, tied_head ? model.tied[0].head_name : std::string()));
    if (!tied_head) continue;
    const auto shared = std::find_if(infos.begin(), infos.end(), [&](const auto& info) { return info.name == model.tied[0].head_name; });
    layout.tied_head_index = static_cast<std::size_t>(shared - infos.begin());
    const model::FlatParameter& stored = find(layout.units.front(), model.tied[0].embedding_name);
    layout.tied_offset = stored.offset;
    layout.tied_sizes = stored.info.sizes;
  }
  return layout;
}

std::string name_of_unit(const Model& model, int unit) {
  const auto kind = static_cast<std::size_t>(model.units.at(static_cast<std::size_t>(unit)));
  return "unit " + std::to_string(unit) + " (" + model.kinds[kind].name + ")";
}

std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout) {
  std::vector<std::vector<optim::DecayRun>> runs;
  for (const model::FlatLayout& unit : layout.units) {
    std::vector<optim::DecayRun>& own = runs.emplace_back();
    for (const model::DecaySpan& span : unit.decay_spans(schedule::padded_elements(unit.elements))) own.push_back({span.begin, span.end, span.decays});
  }
  return runs;
}

}  // namespace gsnake::plan
