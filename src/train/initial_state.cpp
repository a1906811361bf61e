#include "train/initial_state.h"

#include "memory/anonymous.h"
#include "model/binding.h"
#include "model/layout.h"
#include "model/seeding.h"
#include "schedule/problem.h"

namespace gsnake::train {
namespace {

std::uint64_t object_bytes(const optim::FlatLayout& unit) { return schedule::padded_elements(unit.elements) * sizeof(float); }

}  // namespace

void write_initial_weights(Model& model, const plan::ModelLayout& layout, optim::WeightFormat format, std::uint64_t seed, store::Store& store, checkpoint::StateHashes& hashes,
                           const std::function<void(std::size_t unit, std::size_t units)>& before_unit) {
  const std::size_t last = layout.units.size() - 1;
  for (std::size_t unit = 0; unit <= last; ++unit) {
    before_unit(unit, last + 1);
    const optim::FlatLayout& flat = layout.flat(unit);
    torch::nn::Module& module = *model.kinds[static_cast<std::size_t>(model.units[unit])].module;
    const memory::AnonymousMemory weights(object_bytes(flat));
    model::ParameterSet parameters(module);
    const std::vector<torch::Tensor> views = model::views(reinterpret_cast<float*>(weights.data()), flat);
    for (std::size_t i = 0; i < views.size(); ++i) parameters.bind(flat.parameters[i].index, views[i]);
    std::vector<float> embedding;
    if (unit == last && layout.tied) {
      embedding = checkpoint::read_master(store, format, 0, 0);
      parameters.bind(layout.tied_head_index, torch::from_blob(embedding.data() + layout.tied_offset, layout.tied_sizes));
    }
    model::seed_initialization(seed, unit);
    model.initialize(module, static_cast<std::int64_t>(unit));
    const std::span master(reinterpret_cast<const float*>(weights.data()), schedule::padded_elements(flat.elements));
    checkpoint::write_master(store, format, static_cast<std::uint32_t>(unit), master, model::name_of_unit(model, static_cast<int>(unit)), hashes);
  }
}

}  // namespace gsnake::train
