#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <random>

#include "core/errors.h"
#include "core/log.h"
#include "store/folder/claim.h"
#include "store/layout/bandwidth.h"
#include "store/manifest/checksum_table.h"
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

// Whichever of the folders was the earlier run's first.
std::vector<Pin> exclude_readers_of_earlier_run(const StoreState& state) {
  std::vector<Pin> pins;
  for (const std::string& directory : state.directories()) {
    const std::string pin = directory + "/" + names_used_in(directory).pin();
    if (!holds_manifest(directory) || ::access(pin.c_str(), F_OK) != 0) continue;
    pins.push_back(Pin::open(pin));
    pins.back().exclude_readers(state.waits_for_readers());
  }
  return pins;
}

// The names of an earlier version's files, where its run is in the folder or was being discarded.
Claim claim_of_earlier(const std::string& directory) {
  if (std::vector<std::string> earlier = earlier_files_in(directory); !earlier.empty()) return {std::move(earlier)};
  return read_claim(directory).value_or(Claim{});
}

// From here on the earlier run is gone: its manifests first, so that no kill leaves one that describes other bytes; before them the claim, so
// that what a kill leaves is known for ours.
void discard_earlier_run(StoreState& state) {
  const std::vector<std::string> directories = state.directories();
  std::vector<Claim> claims;
  std::vector<std::string> earlier;  // claims of what is there: what fails on the way leaves them
  for (const std::string& directory : directories) {
    const std::string path = directory + "/" + kClaimName;
    if (read_claim(directory) || holds_manifest(directory)) {
      earlier.push_back(path);
    } else {
      state.footprint.add_claim(path);
    }
    write_claim(*state.sync, directory, claims.emplace_back(claim_of_earlier(directory)));
  }
  for (const std::string& directory : directories) {
    if (holds_manifest(directory)) spdlog::warn("discarding the run in {}", directory);
    remove_manifests(*state.sync, directory);
  }
  remove_files(state, kAllKinds);
  for (std::size_t i = 0; i < directories.size(); ++i) {
    if (claims[i].also.empty()) continue;
    for (const std::string& name : claims[i].also) remove_file(*state.sync, directories[i] + "/" + name);
    sync_directory(*state.sync, directories[i]);
    write_claim(*state.sync, directories[i], {});
  }
  for (const std::string& path : earlier) state.footprint.add_claim(path);
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
  const std::vector<Pin> pins = exclude_readers_of_earlier_run(*impl);
  discard_earlier_run(*impl);
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
