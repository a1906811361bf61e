#include "convert/import_sources.h"

#include <fmt/format.h>

#include <set>

#include "convert/base_values.h"
#include "convert/tensor_reader.h"
#include "hf/adapter_config.h"
#include "hf/refusal.h"
#include "model/adapters.h"

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
  } else {
    plan_base(model, adapters);
  }
  if (adapter_folder_) take_whole_modules(model);
}

// Modules that were trained whole stand in the adapter's folder. Nothing there may be lost.
void ImportSources::take_whole_modules(const Model& model) {
  std::set<std::string> used;
  for (std::size_t object = 0; object < layout_.object_count(); ++object) {
    const std::vector<optim::FlatParameter>& parameters = layout_.flat(object).parameters;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::size_t unit = layout_.unit_of(object);
      const TensorName& name = name_of_parameter(model, unit, parameters[i].info.name);
      if (!parameters[i].info.trained) continue;
      const std::string tensor = (name.adapter ? "" : model::kAdapterPrefix) + tensor_name(name, unit);
      used.insert(tensor);
      if (!name.adapter) plan_[object][i] = source_in(*adapter_folder_, tensor, name, parameters[i].info.sizes);
    }
  }
  if (layout_.tied && layout_.is_trained(static_cast<std::size_t>(layout_.tied_object))) {
    const std::size_t head = layout_.units.size() - 1;
    used.insert(model::kAdapterPrefix + tensor_name(name_of_parameter(model, head, model.tied.front().head_name), head));
  }
  for (const auto& [name, source] : adapter_folder_->tensors()) {
    if (used.contains(name)) continue;
    hf::refuse(source.file->path(), fmt::format("tensor {} would be lost: no module that the config adapts or trains whole has it; set adapter.targets and adapter.train_whole as they were", hf::shown(name)));
  }
}

void ImportSources::plan_base(const Model& model, const AdapterSources& adapters) {
  const plan::ModelLayout& layout = layout_;
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

void ImportSources::read_base(std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out) {
  if (base_ != nullptr) {
    // It holds the matrix whose parts are asked for one after another.
    if (!reading_ || reading_unit_ != unit || reading_parameter_ != parameter) reading_ = std::make_unique<BaseValues>(*base_, static_cast<int>(unit), parameter);
    reading_unit_ = unit;
    reading_parameter_ = parameter;
    return reading_->read(first, out);
  }
  const plan::ModelLayout::Place place = layout_.find(unit, parameter).value();
  TensorReader(plan_[place.object][place.parameter]).read(first, out);
}

int ImportSources::files() const {
  if (!folder_) return 1;
  std::set<const hf::MappedFile*> files;
  for (const auto& [name, source] : folder_->tensors()) files.insert(source.file);
  return static_cast<int>(files.size());
}

}  // namespace gsnake::convert
