#include "convert/import_sources.h"

#include <set>

#include "convert/tensor_reader.h"
#include "hf/adapter_config.h"

namespace gsnake::convert {

bool has_sources(const Config& config) { return !config.model.from.empty(); }

ImportSources::ImportSources(const Model& model, const plan::ModelLayout& layout, const Config& config) : layout_(layout), folder_(config.model.from) {
  if (!config.adapter.from.empty()) {
    hf::refuse_other_adapter(config.adapter.from, config.adapter);
    adapter_folder_ = hf::WeightsFolder::of_adapter(config.adapter.from);
  }
  initial_ = std::make_shared<InitialAdapters>(model, layout, config.train.seed, [this](std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out) {
    read_base(unit, parameter, first, out);
  });
  plan_ = make_import_plan(model, layout, *folder_, [&](std::size_t object, const optim::FlatParameter& parameter, const TensorName& name) {
    return adapter_folder_ ? source_in(*adapter_folder_, tensor_name(name, layout.unit_of(object)), name, parameter.info.sizes) : initial_->source(object, parameter);
  });
}

void ImportSources::read_base(std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out) const {
  for (const int object : layout_.own_objects_of(static_cast<int>(unit))) {
    const auto o = static_cast<std::size_t>(object);
    for (std::size_t i = 0; i < layout_.flat(o).parameters.size(); ++i) {
      if (layout_.flat(o).parameters[i].info.name == parameter) return TensorReader(plan_[o][i]).read(first, out);
    }
  }
}

int ImportSources::files() const {
  std::set<const hf::MappedFile*> files;
  for (const auto& [name, source] : folder_->tensors()) files.insert(source.file);
  return static_cast<int>(files.size());
}

}  // namespace gsnake::convert
