// All that a new run's values come from: a Hugging Face folder or a base, an adapter's folder.
#pragma once

#include <memory>
#include <optional>

#include "base/base.h"
#include "convert/import_plan.h"
#include "convert/initial_adapters.h"
#include "greedysnake/config.h"

namespace gsnake::convert {

// Whether a config says where values come from; else they are the model's initial ones.
bool has_sources(const Config& config);

class ImportSources {
 public:
  // Opens and checks them all. Borrows model and layout. Throws Error(input) as make_import_plan(); Error(usage) for an adapter of another kind.
  // `base`, which may be null, is borrowed: of packed objects nothing is imported.
  ImportSources(const Model& model, const plan::ModelLayout& layout, const Config& config, const base::Base* base);
  ImportSources(const ImportSources&) = delete;
  ImportSources& operator=(const ImportSources&) = delete;

  [[nodiscard]] const ImportPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] int files() const;  // of weights

 private:
  void plan_base(const Model& model, const AdapterSources& adapters);
  void take_whole_modules(const Model& model);
  void read_base(std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out);

  const plan::ModelLayout& layout_;
  const base::Base* base_;
  std::optional<hf::WeightsFolder> folder_;
  std::optional<hf::WeightsFolder> adapter_folder_;
  std::shared_ptr<InitialAdapters> initial_;
  ImportPlan plan_;
  std::unique_ptr<ValueSource> reading_;  // of the base: what read_base() was last asked for
  std::size_t reading_unit_ = 0;
  std::string reading_parameter_;
};

}  // namespace gsnake::convert
