#include "convert/import_sources.h"

#include <set>

#include "convert/base_values.h"
#include "convert/tensor_reader.h"
#include "hf/adapter_config.h"

namespace gsnake::convert {

bool has_sources(const Config& config) { return !config.model.from.empty() || !config.adapter.base.empty(); }

ImportSources::ImportSources(const Model& model, const plan::ModelLayout& layout, const Config& config, const base::Base* base) : layout_(layout), base_(base) {
  if (!config.adapter.from.empty()) {
    hf::refuse_other_adapter(config.adapter.from, config.adapter);
    adapter_folder_ = hf::WeightsFolder::of_adapter(config.adapter.from);
  }
  initial_ = std::make_shared<InitialAdapters>(model, layout, config.train.seed, [this](std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out) {
    read_base(unit, parameter, first, out);
  });
  const AdapterSources adapters = [&](std::size_t object, const optim::FlatParameter& parameter, const TensorName& name) {
    return adapter_folder_ ? source_in(*adapter_folder_, tensor_name(name, layout.unit_of(object)), name, parameter.info.sizes) : initial_->source(object, parameter);
  };
  if (base_ == nullptr) {
    plan_ = make_import_plan(model, layout, folder_.emplace(config.model.from), adapters);
    return;
  }
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    std::vector<ParameterSource>& sources = plan_.emplace_back();
    if (layout.is_packed(object)) continue;
    for (const optim::FlatParameter& parameter : layout.flat(object).parameters) {
      const TensorName& name = name_of_parameter(model, layout.unit_of(object), parameter.info.name);
      ParameterSource source;
      if (!name.adapter) source.values = std::make_shared<BaseValues>(*base_, static_cast<int>(layout.unit_of(object)), parameter.info.name);
      sources.push_back(name.adapter ? adapters(object, parameter, name) : source);
    }
  }
}

void ImportSources::read_base(std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out) const {
  if (base_ != nullptr) return BaseValues(*base_, static_cast<int>(unit), parameter).read(first, out);
  for (const int object : layout_.own_objects_of(static_cast<int>(unit))) {
    const auto o = static_cast<std::size_t>(object);
    for (std::size_t i = 0; i < layout_.flat(o).parameters.size(); ++i) {
      if (layout_.flat(o).parameters[i].info.name == parameter) return TensorReader(plan_[o][i]).read(first, out);
    }
  }
}

int ImportSources::files() const {
  if (!folder_) return 1;
  std::set<const hf::MappedFile*> files;
  for (const auto& [name, source] : folder_->tensors()) files.insert(source.file);
  return static_cast<int>(files.size());
}

}  // namespace gsnake::convert
