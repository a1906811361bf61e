#include "store/opening/geometry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/errors.h"
#include "store/opening/held.h"

namespace gsnake::store {
namespace {

bool holds_state_file(const StoreState& state, const std::string& folder) {
  for (std::size_t kind = 0; kind < state.maps.size(); ++kind) {
    if (is_state(kind_at(kind)) && ::access((folder + "/" + state.names.of(kind_at(kind))).c_str(), F_OK) == 0) return true;
  }
  return false;
}

class PathMatch {
 public:
  PathMatch(const StoreState& state, const Manifest& manifest, const Geometry& geometry)
      : state_(state), run_id_(manifest.run_id), slot_(slot_of(manifest)), names_(geometry.paths), folders_(geometry.paths.size()) {}

  void match(const std::vector<std::string>& given, const std::vector<Copy>& copies) {
    std::vector<const Copy*> unknown;
    for (const std::string& folder : given) {
      const auto copy = std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.directory == folder; });
      if (copy == copies.end()) continue;  // absent: check() names it
      const Manifest* manifest = copy->any();
      const std::optional<std::size_t> index = manifest != nullptr ? path_index_of(*manifest) : std::nullopt;
      index ? claim(folder, *index) : unknown.push_back(&*copy);
    }
    for (const Copy* copy : unknown) place(*copy, unknown.size() == 1);
  }

  // All of the run's paths must be there, and no others.
  std::vector<std::string> check(const std::vector<std::string>& given) const {
    for (std::size_t index = 0; index < folders_.size(); ++index) {
      if (folders_[index].empty()) refuse_without(index, given);
    }
    for (const std::string& folder : given) {
      if (std::find(folders_.begin(), folders_.end(), folder) != folders_.end()) continue;
      core::throw_storage("use SSD path", folder, fmt::format("run {} has {} paths and this is none of them", run_id_, folders_.size()),
                          "remove it from ssd.paths; a run keeps the paths that it was created with");
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

  void place(const Copy& copy, bool only_one) {
    const std::optional<std::size_t> index = candidate(copy.directory, only_one);
    if (!index) return;
    // A drive that is not mounted leaves the folder that it would be mounted on.
    const bool torn = copy.manifest || !copy.fault.empty();
    const bool lost = !torn && slot_bytes(*index) > 0 && !holds_state_file(state_, copy.directory);
    lost ? empty_.push_back(copy.directory) : claim(copy.directory, *index);
  }

  [[nodiscard]] std::optional<std::size_t> candidate(const std::string& folder, bool only_one) const {
    const auto named = std::find(names_.begin(), names_.end(), folder);
    const auto free = std::find(folders_.begin(), folders_.end(), std::string());
    if (named != names_.end() && folders_[static_cast<std::size_t>(named - names_.begin())].empty()) {
      return static_cast<std::size_t>(named - names_.begin());
    }
    if (!only_one || std::count(folders_.begin(), folders_.end(), std::string()) != 1) return std::nullopt;
    return static_cast<std::size_t>(free - folders_.begin());
  }

  [[nodiscard]] std::uint64_t slot_bytes(std::size_t path) const {
    std::uint64_t sum = 0;
    for (std::size_t kind = 0; kind < state_.maps.size(); ++kind) sum += is_state(kind_at(kind)) ? state_.file_bytes(kind_at(kind), path) : 0;
    return sum;
  }

  [[noreturn]] void refuse_without(std::size_t index, const std::vector<std::string>& given) const {
    const std::string& name = names_[index];
    const bool named = std::find(given.begin(), given.end(), name) != given.end();
    std::error_code ignored;
    const bool there = named && std::filesystem::is_directory(name, ignored);
    std::string why = !named ? "is not among ssd.paths" : there ? "is there, but holds no file of this run," : "does not exist";
    if (!named && !empty_.empty()) why += fmt::format(" (of those, {} holds no file of this run)", fmt::join(empty_, " and "));
    core::throw_storage("find SSD path", name,
                        fmt::format("it {} and held {} of run {} (path {} of {})", why, objects_on(state_, index, slot_), run_id_, index + 1,
                                    folders_.size()),
                        state_.reads_only ? "mount its drive, or name the folders that it and the run's other paths are now with --ssd"
                                          : "mount its drive, or name the folder that it is now in ssd.paths");
  }

  const StoreState& state_;
  std::string run_id_;
  int slot_;
  std::vector<std::string> names_;
  std::vector<std::string> folders_;  // by the run's index; empty: not found
  std::vector<std::string> empty_;    // folders that would be a path of the run, had they anything of it
};

}  // namespace

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

std::vector<std::string> match_paths(const StoreState& state, const Manifest& manifest, const Geometry& geometry,
                                     const std::vector<std::string>& given, const std::vector<Copy>& copies) {
  PathMatch match(state, manifest, geometry);
  match.match(given, copies);
  return match.check(given);
}

}  // namespace gsnake::store
