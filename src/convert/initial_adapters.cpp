#include "convert/initial_adapters.h"

#include <algorithm>

#include "model/adapters.h"
#include "model/binding.h"
#include "model/layout.h"
#include "model/linear.h"
#include "model/seeding.h"

namespace gsnake::convert {
namespace {

class Values final : public ValueSource {
 public:
  Values(std::shared_ptr<InitialAdapters> owner, std::size_t object, const optim::FlatParameter& parameter) : owner_(std::move(owner)), object_(object), parameter_(parameter) {}

  void read(std::uint64_t first, std::span<float> out) override {
    const std::vector<float>& values = owner_->values_of(object_);
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(parameter_.offset + first), out.size(), out.begin());
  }
  [[nodiscard]] std::string name() const override { return "the initial value of " + parameter_.info.name; }

 private:
  std::shared_ptr<InitialAdapters> owner_;
  const std::size_t object_;
  const optim::FlatParameter& parameter_;
};

}  // namespace

InitialAdapters::InitialAdapters(const Model& model, const plan::ModelLayout& layout, std::uint64_t seed, ReadBase base)
    : model_(model), layout_(layout), seed_(seed), base_(std::move(base)) {}

ParameterSource InitialAdapters::source(std::size_t object, const optim::FlatParameter& parameter) {
  ParameterSource source;
  source.values = std::make_shared<Values>(shared_from_this(), object, parameter);
  return source;
}

const std::vector<float>& InitialAdapters::values_of(std::size_t object) {
  if (object_ == object) return values_;
  const std::size_t unit = layout_.unit_of(object);
  const optim::FlatLayout& flat = layout_.flat(object);
  torch::nn::Module& module = *model_.kinds[static_cast<std::size_t>(model_.units[unit])].module;
  model::ParameterSet parameters(module);
  values_.assign(flat.elements, 0.0F);
  const std::vector<torch::Tensor> views = model::views(values_.data(), flat);
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (plan::is_adapter_parameter(flat.parameters[i].info.name)) parameters.bind(flat.parameters[i].index, views[i]);
  }
  const model::RandomScope random;
  model::seed_adapters(seed_, unit);
  model_.initialize_adapter(module, static_cast<std::int64_t>(unit));
  for (const optim::FlatParameter& parameter : flat.parameters) {
    if (parameter.info.name.ends_with(model::kAdapterMagnitude)) {
      set_lengths(unit, model::module_of(parameter.info.name) + ".weight", std::span(values_).subspan(parameter.offset, parameter.info.numel));
    }
  }
  object_ = object;
  return values_;
}

void InitialAdapters::set_lengths(std::size_t unit, const std::string& parameter, std::span<float> out) const {
  const std::optional<plan::ModelLayout::Place> place = layout_.find(unit, parameter);
  if (!place) throw std::logic_error("an adapter stands beside no matrix of its unit: " + parameter);
  const std::vector<std::int64_t>& sizes = layout_.flat(place->object).parameters[place->parameter].info.sizes;
  read_row_lengths(sizes[0], sizes[1], [&](std::uint64_t first, std::span<float> part) { base_(unit, parameter, first, part); }, out);
}

void read_row_lengths(std::int64_t rows, std::int64_t columns, const std::function<void(std::uint64_t first, std::span<float> out)>& read, std::span<float> out) {
  constexpr std::int64_t kElementsAtOnce = std::int64_t{1} << 22;
  const std::int64_t most = std::clamp<std::int64_t>(kElementsAtOnce / columns, 1, rows);
  std::vector<float> part(static_cast<std::size_t>(most * columns));
  for (std::int64_t first = 0; first < rows; first += most) {
    const std::int64_t count = std::min(most, rows - first);
    read(static_cast<std::uint64_t>(first * columns), std::span(part).first(static_cast<std::size_t>(count * columns)));
    torch::from_blob(out.data() + first, {count}).copy_(model::row_lengths(torch::from_blob(part.data(), {count, columns})));
  }
}

}  // namespace gsnake::convert
