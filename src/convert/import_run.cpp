#include <chrono>

#include "checkpoint/rank_folders.h"
#include "checkpoint/run_state.h"
#include "checkpoint/store_options.h"
#include "convert/carried_files.h"
#include "convert/import_sources.h"
#include "convert/import_weights.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "model/layout.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/store_layout.h"
#include "runtime/slot_table.h"
#include "store/opening/replaced.h"

namespace gsnake {
namespace {

// State alone: what a run's steps need besides is laid out when it is trained.
store::Layout state_layout(store::Layout layout) {
  for (const store::Kind kind : {store::Kind::gradients, store::Kind::activations}) layout.kinds[static_cast<std::size_t>(kind)] = {};
  return layout;
}

void commit_import(const Config& config, const plan::Numerics& numerics, const schedule::Map& map, const checkpoint::StateHashes& hashes,
                   const plan::ModelLayout& layout, store::Store& store) {
  std::vector<store::Checksum> checksums;
  for (std::size_t i = 0; i < map.extents.size(); ++i) {
    if (core::is_state(map.extents[i])) checksums.push_back({map.extents[i], hashes.of(i).value()});
  }
  checkpoint::RunState state;
  state.loss_scale = numerics.counters.loss_scale;
  state.elements = map.problem.elements();
  state.frozen_parameters = layout.frozen_parameters();
  nlohmann::json training = checkpoint::to_json(state, config);
  training["parameters"] = layout.parameters();
  training["imported"] = true;
  store.commit({0, std::move(training), checksums});
}

}  // namespace

TransferReport import_model(const Model& model, const Config& config, const ImportOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  config.validate();
  if (config.leaves_choices()) {
    throw Error(ErrorKind::usage, "an import plans nothing: give train.micro_batches, optimizer.moments, placements and budgets values instead of \"auto\", or leave "
                                  "them out; `gsnake train` may choose them later, but for the moments, which the files are laid out for");
  }
  if (!config.adapter.base.empty()) throw Error(ErrorKind::usage, "adapter.base: a run beside a base starts with `gsnake train` alone; leave the import out");
  if (config.model.from.empty()) throw Error(ErrorKind::usage, "model.from = \"\": name the Hugging Face folder to import");
  const plan::ModelLayout layout = model::layout_of(model, config.optimizer.decay_1d);
  const convert::ImportSources sources(model, layout, config, nullptr);
  const plan::Numerics numerics = plan::numerics_of(config);
  const schedule::Problem problem = plan::make_problem(config, numerics, layout, plan::Purpose::train);
  const schedule::Map map = schedule::make_map(problem, {});

  store::StoreOptions store_options = checkpoint::store_options(config);
  store_options.names_in_run_dir = {convert::kCarriedName};
  store_options.overwrite = options.overwrite;
  const std::vector<checkpoint::RunFound> found = checkpoint::find_runs(config.run.dir, config.ssd.paths);
  if (!options.overwrite) checkpoint::refuse_other_runs(found, config.run.dir, 1);
  store::ReplacedRun(checkpoint::folders_of_other_runs(found, 1), {.names_in_run_dir = store_options.names_in_run_dir}).remove();
  const auto store = store::Store::create(store_options, state_layout(plan::make_store_layout(config, problem)));
  checkpoint::StateHashes hashes(map);
  const auto told = [&](std::uint64_t done, std::uint64_t total) {
    if (options.progress) options.progress(done, total);
  };
  convert::import_weights(sources.plan(), layout, numerics.optimizer.weights, map, *store, hashes, told);
  hashes.rest_is_zero();
  convert::carry_files(config.model.from, *store, config.run.dir);
  commit_import(config, numerics, map, hashes, layout, *store);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {0, layout.parameters(), convert::source_bytes(sources.plan()), sources.files(), config.train.dtype, seconds.count()};
}

Config run_config(const std::string& run_dir, const std::vector<std::string>& ssd_paths) {
  const checkpoint::RunPlace place = checkpoint::locate_run(run_dir, ssd_paths);
  Config config = checkpoint::parse_config(checkpoint::config_from(place.training()));
  config.run.dir = place.run_dir;
  config.ssd.paths = place.ssd_paths;
  if (config.ssd.weights.size() != config.ssd.paths.size()) config.ssd.weights.clear();  // ranks had them elsewhere each
  config.adapter.base = checkpoint::base_folder(config, place.training());
  return config;
}

}  // namespace gsnake
