#include <fmt/format.h>

#include <array>
#include <random>

#include "greedysnake/error.h"
#include "store/folder/claim.h"
#include "store/layout/bandwidth.h"
#include "store/manifest/checksum_table.h"
#include "store/opening/discard.h"
#include "store/state.h"

namespace gsnake::store {
namespace {

constexpr std::array kAllKinds{Kind::weights, Kind::moment1, Kind::moment2, Kind::gradients, Kind::activations, Kind::master};

std::string make_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// What can be told from the options alone, before the disk is touched.
void validate_options(const StoreOptions& options) {
  if (options.stripe_weights.empty()) return;
  if (options.stripe_weights.size() != options.ssd_paths.size()) {
    throw Error(ErrorKind::usage,
                fmt::format("ssd.weights has {} numbers for {} folders in ssd.paths; give one each, or none to have them measured",
                            options.stripe_weights.size(), options.ssd_paths.size()));
  }
  StripedVolume checked(options.stripe_weights);
}

void refuse_existing_run(const StoreState& state) {
  for (const std::string& directory : state.directories()) {
    if (!holds_manifest(directory)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{} holds a run ({}): go on with it (--resume must), discard it (--overwrite), or choose another folder",
                            directory, kManifestName));
  }
}

// What is not ours stays, also with --overwrite: that is for runs.
void refuse_others_files(const StoreState& state, const StoreOptions& options) {
  for (const std::string& directory : state.directories()) {
    refuse_others(directory, directory == state.run_dir ? options.names_in_run_dir : std::vector<std::string>());
  }
}

}  // namespace

std::unique_ptr<Store> Store::create(const StoreOptions& options, const Layout& layout) {
  validate(layout);
  validate_options(options);
  auto impl = std::make_unique<Impl>();
  impl->run_id = make_run_id();
  impl->resolve(options);
  for (const std::string& directory : impl->directories()) impl->footprint.make_directory(directory);
  impl->lock_directories();
  refuse_others_files(*impl, options);
  if (!options.overwrite) refuse_existing_run(*impl);
  impl->set_layout(layout, options.stripe_weights.empty() ? measure_stripe_weights(impl->ssd_paths, options.direct)
                                                          : round_to_sixteenths(options.stripe_weights));
  check_space_for(*impl, kAllKinds);
  impl->start_engine(options);
  impl->open_base(options);
  const std::vector<Pin> pins = exclude_readers_of(impl->directories(), impl->waits_for_readers());
  discard_run(*impl->sync, impl->directories(), impl->footprint);
  for (const Kind kind : kAllKinds) impl->create_files(kind, options.direct);
  // Of a first commit that fails.
  for (const std::string& directory : impl->directories()) {
    for (const char* table : kTableNames) impl->footprint.add_state_file(directory + "/" + table);
  }
  impl->footprint.add_state_file(impl->pin_path());
  impl->pin = Pin::open(impl->pin_path());
  for (const std::string& path : impl->ssd_paths) sync_directory(*impl->sync, path);
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

}  // namespace gsnake::store
