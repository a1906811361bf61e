#include "train/initial_state.h"

#include "memory/anonymous.h"
#include "model/adapters.h"
#include "model/binding.h"
#include "model/layout.h"
#include "model/seeding.h"
#include "schedule/problem.h"

namespace gsnake::train {
namespace {

std::uint64_t object_bytes(const optim::FlatLayout& flat) { return schedule::padded_elements(flat.elements) * sizeof(float); }

}  // namespace

void write_initial_weights(Model& model, const plan::ModelLayout& layout, optim::WeightFormat format, std::uint64_t seed, store::Store& store, checkpoint::StateHashes& hashes,
                           const std::function<void(std::size_t unit, std::size_t units)>& before_unit) {
  const std::size_t last = layout.units.size() - 1;
  for (std::size_t unit = 0; unit <= last; ++unit) {
    before_unit(unit, last + 1);
    torch::nn::Module& module = *model.kinds[static_cast<std::size_t>(model.units[unit])].module;
    model::ParameterSet parameters(module);
    const std::vector<int> objects = layout.own_objects_of(static_cast<int>(unit));
    std::vector<memory::AnonymousMemory> weights;
    for (const int object : objects) {
      const optim::FlatLayout& flat = layout.flat(static_cast<std::size_t>(object));
      const std::vector<torch::Tensor> views = model::views(weights.emplace_back(object_bytes(flat)).data(), flat);
      for (std::size_t i = 0; i < views.size(); ++i) parameters.bind(flat.parameters[i].index, views[i]);
    }
    std::vector<float> embedding;
    if (unit == last && layout.tied) {
      embedding = checkpoint::read_master(store, format, static_cast<std::uint32_t>(layout.tied_object), 0);
      parameters.bind(layout.tied_head_index, torch::from_blob(embedding.data() + layout.tied_offset, layout.tied_sizes));
    }
    model::seed_initialization(seed, unit);
    model.initialize(module, static_cast<std::int64_t>(unit));
    if (model.initialize_adapter) {
      model::seed_adapters(seed, unit);
      model.initialize_adapter(module, static_cast<std::int64_t>(unit));
      model::reset_magnitudes(module);
    }
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const std::span master(reinterpret_cast<const float*>(weights[i].data()), schedule::padded_elements(layout.flat(static_cast<std::size_t>(objects[i])).elements));
      checkpoint::write_master(store, format, static_cast<std::uint32_t>(objects[i]), master, model::name_of_unit(model, static_cast<int>(unit)), hashes);
    }
  }
}

}  // namespace gsnake::train
