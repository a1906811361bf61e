#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>

#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"
#include "store/commit.h"
#include "store/copies.h"
#include "store/grow.h"
#include "store/state.h"

namespace gsnake::store {
namespace {

constexpr std::array kStateKinds{Kind::weights, Kind::moment1, Kind::moment2, Kind::master};
constexpr std::array kScratchKinds{Kind::gradients, Kind::activations};

// What a manifest says of the storage, checked.
struct Geometry {
  Layout layout;
  std::vector<double> stripe_weights;
  std::vector<std::string> paths;  // as they were called when it was written
};

bool exists(const std::string& directory) {
  std::error_code error;
  return std::filesystem::is_directory(directory, error);
}

Geometry parse_geometry(const Manifest& manifest, const std::string& run_dir) {
  const auto refuse = [&](const std::string& reason) {
    core::throw_storage("open the run in", run_dir, "its manifest can't be used: " + reason,
                        "use the version of greedysnake that wrote it");
  };
  Geometry geometry;
  try {
    const nlohmann::json& storage = manifest.storage;
    if (storage.at("stripe_bytes") != kStripeBytes || storage.at("extent_alignment") != kExtentAlignment) refuse("stripes of another size");
    geometry.layout = state_from_json(storage.at("kinds"));
    storage.at("stripe_weights").get_to(geometry.stripe_weights);
    for (const nlohmann::json& path : storage.at("paths")) geometry.paths.push_back(path.at("path").get<std::string>());
    if (geometry.paths.empty() || geometry.paths.size() != geometry.stripe_weights.size())
      refuse("its paths and stripe weights don't match");
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::storage) throw;
    refuse(error.what());
  }
  return geometry;
}

// Finds which of the run's paths each given folder is: by its own copy of the manifest, else by its name, else because one is left.
class PathMatch {
 public:
  PathMatch(const Manifest& manifest, const Geometry& geometry)
      : run_id_(manifest.run_id), names_(geometry.paths), folders_(geometry.paths.size()) {}

  void match(const std::vector<std::string>& given, const std::vector<Copy>& copies) {
    std::vector<std::string> unknown;
    for (const std::string& folder : given) {
      const auto copy = std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.directory == folder; });
      if (copy == copies.end()) continue;  // absent: check() names it
      const Manifest* manifest = copy->any();
      const nlohmann::json index = manifest != nullptr ? manifest->storage.value("path_index", nlohmann::json()) : nlohmann::json();
      index.is_number_unsigned() ? claim(folder, index.get<std::size_t>()) : unknown.push_back(folder);
    }
    for (const std::string& folder : unknown) place(folder, unknown.size() == 1);
  }

  // All of the run's paths must be there, and no others. `kinds_on` tells what a path holds.
  std::vector<std::string> check(const std::vector<std::string>& given, const std::function<std::string(std::size_t)>& kinds_on) const {
    for (std::size_t index = 0; index < folders_.size(); ++index) {
      if (!folders_[index].empty()) continue;
      const bool named = std::find(given.begin(), given.end(), names_[index]) != given.end();
      core::throw_storage("find SSD path", names_[index],
                          fmt::format("it {} and holds {} of run {} (path {} of {})",
                                      named ? "does not exist or is not this run's" : "is not among ssd.paths", kinds_on(index), run_id_,
                                      index + 1, folders_.size()),
                          "mount it, or name the folder that it is now in ssd.paths");
    }
    for (const std::string& folder : given) {
      if (std::find(folders_.begin(), folders_.end(), folder) != folders_.end()) continue;
      core::throw_storage("use SSD path", folder, fmt::format("run {} has {} paths and this is none of them", run_id_, folders_.size()),
                          "remove it from ssd.paths");
    }
    return folders_;
  }

 private:
  void claim(const std::string& folder, std::size_t index) {
    if (index >= folders_.size()) return;  // check() calls it foreign
    if (!folders_[index].empty()) {
      core::throw_storage("use SSD path", folder, fmt::format("{} is path {} of run {} already", folders_[index], index + 1, run_id_),
                          "name each path once, and no copy of it");
    }
    folders_[index] = folder;
  }

  void place(const std::string& folder, bool only_one) {
    const auto named = std::find(names_.begin(), names_.end(), folder);
    if (named != names_.end() && folders_[static_cast<std::size_t>(named - names_.begin())].empty()) {
      claim(folder, static_cast<std::size_t>(named - names_.begin()));
    } else if (only_one && std::count(folders_.begin(), folders_.end(), std::string()) == 1) {
      claim(folder, static_cast<std::size_t>(std::find(folders_.begin(), folders_.end(), std::string()) - folders_.begin()));
    }
  }

  std::string run_id_;
  std::vector<std::string> names_;
  std::vector<std::string> folders_;  // by the run's index; empty: not found
};

void lock_existing(StoreState& state) {
  if (!exists(state.run_dir)) {
    core::throw_storage("open the run in", state.run_dir, "there is no such folder",
                        "name the run's folder; if it was lost, make an empty one: the SSD paths hold copies of its manifest");
  }
  for (const std::string& directory : state.directories()) {
    if (exists(directory)) state.footprint.lock(directory, state.run_id);
  }
}

// Scratch of a run that was killed is in the way of the new one; a caller who asks for none (to inspect) leaves it alone.
void make_scratch(StoreState& state, const StoreOptions& options) {
  const bool wanted =
      std::any_of(kScratchKinds.begin(), kScratchKinds.end(), [&](Kind kind) { return state.maps[index_of(kind)].volume_bytes() > 0; });
  if (!wanted) return;
  check_space_for(state, kScratchKinds);
  remove_files(state, kScratchKinds);
  for (const Kind kind : kScratchKinds) state.create_files(kind, options.direct);
}

void check_choice(const Choice& choice, const Layout& layout) {
  std::string fault = choice.checksums.empty() ? "" : tiling_fault(choice.checksums, layout);
  if (slot_of(choice.manifest) >= state_slots(layout))
    fault = fmt::format("it names slot {} of {}", slot_of(choice.manifest), state_slots(layout));
  if (fault.empty()) return;
  core::throw_storage("use", "the manifest of run " + choice.manifest.run_id, fault, "use the version of greedysnake that wrote it");
}

// The run's layout and, in the run's order, the folders that its paths are now.
void take_geometry(StoreState& state, const Manifest& manifest, Geometry geometry, const Layout& scratch, const std::vector<Copy>& copies) {
  for (const Kind kind : kScratchKinds) geometry.layout.kinds[index_of(kind)] = scratch.kinds[index_of(kind)];
  PathMatch match(manifest, geometry);
  const std::vector<std::string> given = std::exchange(state.ssd_paths, geometry.paths);
  state.set_layout(geometry.layout, geometry.stripe_weights);
  match.match(given, copies);
  state.ssd_paths = match.check(given, [&](std::size_t path) { return state.kinds_on(path); });
  state.run_id = manifest.run_id;
  state.footprint.set_run_id(manifest.run_id);
}

// Whether the layout has changed.
bool make_room_for_snapshots(StoreState& state, int places) {
  const int slots = state_slots(state.layout);
  if (places <= std::max(0, slots - 2)) return false;
  if (slots == 1) {
    throw Error(ErrorKind::usage, fmt::format("run {} has one slot (durability = \"off\") and can't keep snapshots", state.run_id));
  }
  const Layout before = state.layout;
  Layout larger = before;
  for (const Kind kind : kStateKinds) larger.kinds[index_of(kind)].slots = 2 + places;
  validate(larger);
  const std::vector<double> stripe_weights = state.report.stripe_weights;
  state.set_layout(larger, stripe_weights);
  grow_state_files(state, before);
  return true;
}

}  // namespace

std::unique_ptr<Store> Store::open(const StoreOptions& options, const Layout& scratch) {
  validate(scratch);
  auto impl = std::make_unique<Impl>();
  impl->footprint.keep_state();
  impl->run_id = "being opened";
  impl->resolve(options);
  lock_existing(*impl);

  std::vector<std::string> present = impl->directories();
  std::erase_if(present, [](const std::string& directory) { return !exists(directory); });
  const std::vector<Copy> copies = read_copies(present);
  const Choice choice = choose(copies, impl->run_dir);
  take_geometry(*impl, choice.manifest, parse_geometry(choice.manifest, impl->run_dir), scratch, copies);
  check_choice(choice, impl->layout);

  impl->start_engine(options);
  const bool layout_changed = make_room_for_snapshots(*impl, options.snapshot_places);
  for (const Kind kind : kStateKinds) impl->open_files(kind, options.direct);
  make_scratch(*impl, options);
  impl->generation = choice.newest_seen;
  auto store = std::unique_ptr<Store>(new Store(std::move(impl)));
  store->settle(choice, copies, layout_changed);
  if (options.from_step) store->go_back(*options.from_step);
  return store;
}

}  // namespace gsnake::store
