// A base, of a Hugging Face folder or of random numbers.
#include <chrono>
#include <filesystem>
#include <optional>

#include "convert/carried_files.h"
#include "convert/quantize.h"
#include "convert/tensor_reader.h"
#include "core/log.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/model_config.h"
#include "io/durable.h"
#include "model/layout.h"

namespace gsnake {
namespace {

class FolderValues final : public convert::UnitValues {
 public:
  explicit FolderValues(const convert::ImportPlan& plan) : plan_(plan) {}
  void begin(std::size_t unit, std::size_t parameter) override {
    source_ = &plan_[unit][parameter];
    reader_.emplace(*source_);
  }
  void read(std::uint64_t first, std::span<float> out) override { reader_->read(first, out); }

 private:
  const convert::ImportPlan& plan_;
  const convert::ParameterSource* source_ = nullptr;
  std::optional<convert::TensorReader> reader_;
};

}  // namespace

BaseReport quantize(const std::string& from, const ModelConfig& shape, const std::string& to, const QuantizeOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const convert::BaseFormats formats = convert::base_formats(options.format + (options.embeddings.empty() ? "" : "," + options.embeddings));
  const Model model = models::make(shape);
  const plan::ModelLayout layout = model::layout_of(model, false);
  base::BaseManifest manifest = convert::base_manifest(model, layout, formats);
  convert::ImportPlan plan;
  std::optional<hf::WeightsFolder> folder;
  std::unique_ptr<convert::UnitValues> values;
  if (!from.empty()) {
    plan = convert::make_import_plan(model, layout, folder.emplace(from));
    values = std::make_unique<FolderValues>(plan);
  } else {
    values = convert::random_values(layout, options.seed);
  }
  manifest.source = from.empty() ? "random numbers" : std::filesystem::absolute(from).lexically_normal().string();
  manifest.model = nlohmann::json::parse(hf::make_model_config(shape, Dtype::bf16, convert::config_of_folder(from)).dump());
  base::BaseWriter writer(to, manifest);
  convert::write_base(layout, manifest, *values, writer, options.progress);
  for (const auto& [name, bytes] : convert::files_to_carry(from)) {
    if (name != hf::kConfigName) writer.write_file(name, bytes);
  }
  writer.write_file(hf::kConfigName, manifest.model.dump(2) + "\n");
  const std::string id = writer.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {id, layout.parameters(), writer.bytes(), seconds.count()};
}

}  // namespace gsnake
