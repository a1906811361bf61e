#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "checkpoint/base_folder.h"
#include "checkpoint/rank_folders.h"
#include "checkpoint/run_state.h"
#include "checkpoint/store_options.h"
#include "convert/carried_files.h"
#include "convert/committed_elements.h"
#include "convert/destinations.h"
#include "convert/merge.h"
#include "convert/import_plan.h"
#include "core/errors.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/adapter_config.h"
#include "hf/model_config.h"
#include "hf/shard_writer.h"
#include "io/durable.h"
#include "model/adapters.h"
#include "model/layout.h"
#include "plan/base_layout.h"
#include "plan/numerics.h"

namespace gsnake {
namespace {

using nlohmann::literals::operator""_json_pointer;

class Exporter {
 public:
  Exporter(const convert::Destinations& destinations, hf::ShardWriter& writer, Dtype dtype, const TransferProgress& progress)
      : destinations_(destinations), writer_(writer), width_(hf::size_of(dtype)), transposer_(writer, width_), progress_(progress) {}

  void take(std::uint32_t object, std::uint64_t first, std::span<const std::byte> values) {
    const std::uint64_t last = first + values.size() / width_;
    for (const convert::Destination& each : destinations_.by_object.at(object)) {
      if (!each.wanted) continue;
      const std::uint64_t begin = std::max(first, each.offset);
      const std::uint64_t end = std::min(last, each.offset + each.elements);
      if (begin >= end) continue;
      const std::span<const std::byte> part = values.subspan((begin - first) * width_, (end - begin) * width_);
      if (each.rows > 0) {
        transposer_.add(each, part);
      } else {
        writer_.write(each.tensor, (begin - each.offset) * width_, part);
      }
      done_ += part.size();
    }
    if (progress_) progress_(done_, writer_.bytes());
  }

 private:
  const convert::Destinations& destinations_;
  hf::ShardWriter& writer_;
  const std::uint64_t width_;
  convert::Transposer transposer_;
  const TransferProgress& progress_;
  std::uint64_t done_ = 0;
};

void write_carried(const std::string& run_dir, hf::ShardWriter& writer) {
  for (const std::string& path : convert::carried_files(run_dir)) {
    const std::string name = std::filesystem::path(path).filename().string();
    const std::optional<std::string> bytes = name == hf::kConfigName ? std::nullopt : io::read_whole_file(path);
    if (bytes) writer.write_file(name, *bytes);
  }
}

// Of the built-in families; of others, what the caller says.
std::string config_text(const Config& config, const std::string& run_dir, Dtype dtype, const std::string& given) {
  if (given.empty()) return hf::make_model_config(config.model, dtype, convert::config_of_folder(convert::carried_folder(run_dir))).dump(2) + "\n";
  hf::Json json = hf::parse_object("ExportOptions::config_json", given);
  json["torch_dtype"] = hf::torch_name_of(dtype);
  return json.dump(2) + "\n";
}

void refuse_other_model(const plan::ModelLayout& layout, const nlohmann::json& training, const std::string& run_dir) {
  std::vector<std::uint64_t> elements;
  for (std::size_t object = 0; object < layout.object_count(); ++object) elements.push_back(layout.flat(object).elements);
  const checkpoint::RunState state = checkpoint::run_state_from(training);
  if (elements != state.elements || (!state.frozen_parameters.empty() && state.frozen_parameters != layout.frozen_parameters()))
    throw Error(ErrorKind::usage, "model: its units have other parameters, or others that take gradients, than those of the run in " + run_dir);
}

// Each once, by the last part of its name.
std::vector<std::string> adapted_modules(const Model& model, const plan::ModelLayout& layout) {
  std::set<std::string> names;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    for (const optim::FlatParameter& parameter : layout.flat(object).parameters) {
      const TensorName& name = convert::name_of_parameter(model, layout.unit_of(object), parameter.info.name);
      if (!name.adapter) continue;
      // MODULE.lora_A.weight, or MODULE.lora_magnitude_vector
      const std::string module = model::module_of(name.name.ends_with(".weight") ? model::module_of(name.name) : name.name);
      names.insert(module.substr(module.rfind('.') + 1));
    }
  }
  return {names.begin(), names.end()};
}

// As the config has them, but for the word that PEFT does not know.
std::vector<std::string> targets_of(const AdapterConfig& adapter, const Model& model, const plan::ModelLayout& layout) {
  const bool every = std::find(adapter.targets.begin(), adapter.targets.end(), model::kEveryMatrix) != adapter.targets.end();
  return every ? adapted_modules(model, layout) : adapter.targets;
}

// What the base was made of, if it is there.
std::string source_of_base(const Config& config) {
  try {
    const std::optional<base::Base> base = plan::open_base(config);
    return base ? base->manifest().source : "";
  } catch (const Error&) {
    return "";
  }
}

bool has_transposed(const Model& model) {
  return std::any_of(model.names.tensors.begin(), model.names.tensors.end(), [](const TensorName& name) { return name.transposed; });
}

// What a run says of itself, and its commit.
struct Exported {
  Config config;
  plan::ModelLayout layout;
  std::optional<base::Base> base;
  std::unique_ptr<store::Store> store;

  [[nodiscard]] optim::WeightFormat format() const { return plan::numerics_of(config).optimizer.weights; }
  [[nodiscard]] const nlohmann::json& training() const { return store->manifest()->training; }
};

TransferReport report_of(const Exported& run, const convert::Destinations& destinations, const hf::ShardWriter& writer, Dtype dtype) {
  std::uint64_t parameters = 0;
  for (const auto& object : destinations.by_object) {
    for (const convert::Destination& each : object) parameters += each.wanted ? each.elements : 0;
  }
  return {checkpoint::run_state_from(run.training()).step, parameters, writer.bytes(), writer.files(), dtype, 0.0};
}

TransferReport export_adapter(const Model& model, const Exported& run, const std::string& to, const ExportOptions& options) {
  const Dtype dtype = options.dtype.value_or(Dtype::fp32);
  const convert::Destinations destinations = convert::destinations_of(model, run.layout, dtype, convert::Contents::adapter);
  std::string from = checkpoint::config_from(run.training()).value("/model/from"_json_pointer, "");
  if (from.empty()) from = source_of_base(run.config);
  const hf::Json json = hf::make_adapter_config(run.config.adapter, from, targets_of(run.config.adapter, model, run.layout), has_transposed(model), run.layout.tied && run.layout.is_trained(static_cast<std::size_t>(run.layout.tied_object)));
  hf::ShardWriter writer(to, destinations.tensors, ~std::uint64_t{0}, hf::kAdapterName);
  Exporter exporter(destinations, writer, dtype, options.progress);
  std::vector<std::uint32_t> trained;
  for (std::size_t object = 0; object < run.layout.object_count(); ++object) {
    if (run.layout.is_trained(object)) trained.push_back(static_cast<std::uint32_t>(object));
  }
  convert::visit_committed_elements(
      *run.store, run.format(), dtype,
      [&](std::uint32_t object, std::uint64_t first, std::span<const std::byte> values) { exporter.take(object, first, values); }, trained);
  writer.write_file(hf::kAdapterConfigName, json.dump(2) + "\n");
  write_carried(run.config.run.dir, writer);
  writer.finish();
  return report_of(run, destinations, writer, dtype);
}

TransferReport export_whole(const Model& model, const Exported& run, const std::string& to, const ExportOptions& options) {
  const Dtype dtype = options.dtype.value_or(run.config.train.dtype);
  const convert::Destinations destinations = convert::destinations_of(model, run.layout, dtype);
  const std::string config_json = config_text(run.config, run.config.run.dir, dtype, options.config_json);
  hf::ShardWriter writer(to, destinations.tensors, options.shard_bytes);
  if (run.config.adapter.present()) {
    convert::write_merged(model, run.layout, *run.store, run.base ? &*run.base : nullptr, run.config, destinations, writer, dtype, options.progress);
  } else {
    Exporter exporter(destinations, writer, dtype, options.progress);
    convert::visit_committed_elements(
        *run.store, run.format(), dtype,
        [&](std::uint32_t object, std::uint64_t first, std::span<const std::byte> values) { exporter.take(object, first, values); });
  }
  writer.write_file(hf::kConfigName, config_json);
  write_carried(run.config.run.dir, writer);
  writer.finish();
  return report_of(run, destinations, writer, dtype);
}

}  // namespace

TransferReport export_model(const Model& model, const std::string& run_dir, const std::string& to, const ExportOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  Exported run{run_config(run_dir, options.ssd_paths), {}, {}, nullptr};
  if (options.shard_bytes == 0) throw Error(ErrorKind::usage, "--shard-size 0: must be at least a byte");
  const bool has_adapter = run.config.adapter.present();
  if (options.merge && !has_adapter) throw Error(ErrorKind::usage, "--merge: the run in " + run_dir + " trained no adapter but the whole model; leave it out");
  run.layout = model::layout_of(model, run.config.optimizer.decay_1d);
  run.base = options.merge ? plan::open_base(run.config) : std::nullopt;
  if (run.base) plan::pack(run.layout, run.base->manifest(), run.config.adapter.base);
  run.store = checkpoint::open_reader(checkpoint::store_options(run.config));
  refuse_other_model(run.layout, run.training(), run_dir);
  if (options.merge) checkpoint::refuse_other_base(run.training(), run.base ? run.base->manifest().id : "", run.config);
  TransferReport report = has_adapter && !options.merge ? export_adapter(model, run, to, options) : export_whole(model, run, to, options);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

TransferReport export_run(const std::string& run_dir, const std::string& to, const ExportOptions& options) {
  return export_model(models::make(run_config(run_dir, options.ssd_paths)), run_dir, to, options);
}

}  // namespace gsnake
