#include "train/initial_state.h"

#include <algorithm>
#include <optional>
#include <span>

#include "memory/anonymous.h"
#include "model/adapters.h"
#include "model/binding.h"
#include "model/layout.h"
#include "model/seeding.h"

namespace gsnake::train {
namespace {

// In the end the module has none of our memory, also where an initializer throws.
struct Unbound {
  model::ParameterSet& parameters;
  ~Unbound() { parameters.unbind(); }
};

// One unit's initial master weights.
class InitialUnit {
 public:
  // `tied`: the values of the embedding that the unit uses as well; empty for a unit that uses none.
  InitialUnit(Model& model, const plan::ModelLayout& layout, std::uint64_t seed, std::size_t unit, std::span<const float> tied) : objects_(layout.own_objects_of(static_cast<int>(unit))) {
    torch::nn::Module& module = *model.kinds[static_cast<std::size_t>(model.units[unit])].module;
    model::ParameterSet parameters(module);
    const Unbound afterwards{parameters};
    for (const int object : objects_) {
      const optim::FlatLayout& flat = layout.flat(static_cast<std::size_t>(object));
      elements_.push_back(schedule::padded_elements(flat.elements));
      const std::vector<torch::Tensor> views = model::views(weights_.emplace_back(elements_.back() * sizeof(float)).data(), flat);
      for (std::size_t i = 0; i < views.size(); ++i) parameters.bind(flat.parameters[i].index, views[i]);
    }
    if (!tied.empty()) parameters.bind(layout.tied_head_index, torch::from_blob(const_cast<float*>(tied.data()) + layout.tied_offset, layout.tied_sizes));
    const model::RandomScope random;
    model::seed_initialization(seed, unit);
    model.initialize(module, static_cast<std::int64_t>(unit));
    if (!model.initialize_adapter) return;
    model::seed_adapters(seed, unit);
    model.initialize_adapter(module, static_cast<std::int64_t>(unit));
    model::reset_magnitudes(module);
  }

  [[nodiscard]] const std::vector<int>& objects() const { return objects_; }
  // By place in objects(); padding included.
  [[nodiscard]] std::span<const float> master(std::size_t i) const { return {reinterpret_cast<const float*>(weights_[i].data()), elements_[i]}; }
  [[nodiscard]] std::span<const float> master_of(int object) const {
    return master(static_cast<std::size_t>(std::find(objects_.begin(), objects_.end(), object) - objects_.begin()));
  }

 private:
  std::vector<int> objects_;
  std::vector<std::uint64_t> elements_;
  std::vector<memory::AnonymousMemory> weights_;
};

}  // namespace

void write_initial_weights(Model& model, const plan::ModelLayout& layout, optim::WeightFormat format, std::uint64_t seed, const schedule::Problem& problem, store::Store& store,
                           checkpoint::StateHashes& hashes, const std::function<void(std::size_t unit, std::size_t units)>& before_unit) {
  const std::size_t last = layout.units.size() - 1;
  for (std::size_t unit = 0; unit <= last; ++unit) {
    before_unit(unit, last + 1);
    std::optional<InitialUnit> embedding;
    if (unit == last && layout.tied) embedding.emplace(model, layout, seed, static_cast<std::size_t>(layout.unit_of(static_cast<std::size_t>(layout.tied_object))), std::span<const float>());
    const InitialUnit initial(model, layout, seed, unit, embedding ? embedding->master_of(layout.tied_object) : std::span<const float>());
    for (std::size_t i = 0; i < initial.objects().size(); ++i) {
      const auto object = static_cast<std::uint32_t>(initial.objects()[i]);
      const schedule::Range own = problem.object(initial.objects()[i]).range();
      if (own.cells == 0) continue;  // another rank's
      checkpoint::write_master(store, format, object, initial.master(i).subspan(own.begin, own.cells), model::name_of_unit(model, static_cast<int>(unit)), hashes);
    }
  }
}

}  // namespace gsnake::train
