#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>

#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"
#include "store/state.h"

namespace gsnake::store {
namespace {

constexpr std::array kStateKinds{Kind::weights, Kind::moment1, Kind::moment2};
constexpr std::array kScratchKinds{Kind::gradients, Kind::activations};

struct Copy {
  std::string directory;
  std::optional<Manifest> manifest;
  std::string torn;  // the error of a copy that can't be used
};

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

std::vector<Copy> read_copies(const std::vector<std::string>& directories) {
  std::vector<Copy> copies;
  for (const std::string& directory : directories) {
    Copy& copy = copies.emplace_back(Copy{directory, std::nullopt, {}});
    try {
      copy.manifest = read_manifest(directory);
    } catch (const Error& error) {
      copy.torn = error.what();
    }
  }
  return copies;
}

[[noreturn]] void throw_nothing_to_open(const std::vector<Copy>& copies, const std::string& run_dir) {
  std::vector<std::string> torn;
  for (const Copy& copy : copies) {
    if (!copy.torn.empty()) torn.push_back(copy.torn);
  }
  if (torn.empty()) {
    core::throw_storage("open the run in", run_dir, fmt::format("there is no {} in it or in its SSD paths", kManifestName),
                        "start it with gsnake train");
  }
  throw Error(ErrorKind::storage, fmt::format("no valid manifest is left: {}", fmt::join(torn, "; ")));
}

// The newest valid copy. The run directory's copy, or else the first, tells which run it is; another run's copy among them is refused.
const Manifest& newest_of(const std::vector<Copy>& copies, const std::string& run_dir) {
  const Copy* first = nullptr;
  const Manifest* newest = nullptr;
  for (const Copy& copy : copies) {
    if (!copy.manifest) continue;
    if (first == nullptr) first = &copy;
    if (copy.manifest->run_id != first->manifest->run_id) {
      core::throw_storage(
          "use", copy.directory,
          fmt::format("it belongs to run {}, {} to run {}", copy.manifest->run_id, first->directory, first->manifest->run_id),
          "name the folders of one run in run.dir and ssd.paths");
    }
    if (newest == nullptr || copy.manifest->generation > newest->generation) newest = &*copy.manifest;
  }
  if (newest == nullptr) throw_nothing_to_open(copies, run_dir);
  for (const Copy& copy : copies) {
    if (!copy.torn.empty()) spdlog::warn("{} (another copy is valid and used)", copy.torn);
  }
  return *newest;
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
      const nlohmann::json index = copy->manifest ? copy->manifest->storage.value("path_index", nlohmann::json()) : nlohmann::json();
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
  Manifest manifest = newest_of(copies, impl->run_dir);
  Geometry geometry = parse_geometry(manifest, impl->run_dir);
  for (const Kind kind : kScratchKinds) geometry.layout.kinds[index_of(kind)] = scratch.kinds[index_of(kind)];

  PathMatch match(manifest, geometry);
  const std::vector<std::string> given = std::exchange(impl->ssd_paths, geometry.paths);
  impl->set_layout(geometry.layout, geometry.stripe_weights);
  match.match(given, copies);
  impl->ssd_paths = match.check(given, [&](std::size_t path) { return impl->kinds_on(path); });
  impl->run_id = manifest.run_id;
  impl->footprint.set_run_id(manifest.run_id);

  impl->start_engine(options);
  for (const Kind kind : kStateKinds) impl->open_files(kind, options.direct);
  make_scratch(*impl, options);
  impl->generation = manifest.generation;
  manifest.storage.erase("path_index");
  impl->manifest = std::move(manifest);
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

}  // namespace gsnake::store
