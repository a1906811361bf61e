#include "store/opening/locate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>

#include "core/errors.h"
#include "core/log.h"
#include "store/folder/paths.h"

namespace gsnake::store {
namespace {

namespace fs = std::filesystem;

constexpr std::array kCounted{kManifestName, kPreviousName};
constexpr std::array kAny{kManifestName, kPreviousName, kStagedName};

// Torn ones count as absent, with the reason in `fault`.
std::optional<Manifest> manifest_in(const std::string& folder, std::string* fault = nullptr, std::span<const char* const> names = kCounted) {
  for (const char* name : names) {
    try {
      if (std::optional<Manifest> manifest = read_manifest(folder, name)) return manifest;
    } catch (const Error& error) {
      if (fault != nullptr && fault->empty()) *fault = error.what();
      spdlog::debug("{}", error.what());
    }
  }
  return std::nullopt;
}

std::vector<std::string> recorded_paths(const std::string& folder, const Manifest& manifest) {
  std::vector<std::string> paths;
  try {
    for (const nlohmann::json& path : manifest.storage.at("paths")) paths.push_back(path.at("path").get<std::string>());
  } catch (const nlohmann::json::exception& error) {
    core::throw_storage("use the manifest in", folder, error.what(), "use the version of greedysnake that wrote it");
  }
  return paths;
}

bool lies_in(const fs::path& path, const fs::path& folder) {
  const fs::path way = path.lexically_relative(folder);
  return !way.empty() && *way.begin() != "..";
}

// `path` as seen from `from`, seen from `to` instead; itself where it can't be.
std::string moved(const std::string& path, const std::string& from, const std::string& to) {
  const fs::path way = fs::path(path).lexically_relative(from);
  if (way.empty()) return path;
  fs::path now = (fs::path(to) / way).lexically_normal();
  if (!now.has_filename()) now = now.parent_path();
  return now.string();
}

bool holds_run(const std::string& folder, const std::string& run_id) {
  const std::optional<Manifest> manifest = manifest_in(folder, nullptr, kAny);
  return manifest && manifest->run_id == run_id;
}

// `path` beside what is now `to` and was `from`.
std::string beside(const std::string& path, const std::string& from, const std::string& to, const std::string& run_id) {
  const std::string now = moved(path, from, to);
  return !same_folder(from, to) && holds_run(now, run_id) ? now : path;
}

// The folder that was meant, where it is one of those in `directory`.
std::string remedy_for(const std::string& directory) {
  std::error_code error;
  for (auto entry = fs::directory_iterator(directory, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (holds_manifest(entry->path().string())) return fmt::format("is {} meant?", entry->path().string());
  }
  return "name the folder of a run that has committed a step (or was imported)";
}

// Where the folders of `place`, of which the manifest and the one that was named are known, are now.
void find_paths(Place& place) {
  const std::string named = place.run_dir;
  const std::vector<std::string> recorded = recorded_paths(named, place.manifest);
  const std::string recorded_dir = recorded_run_dir(place.manifest);
  const std::optional<std::size_t> index = path_index_of(place.manifest);
  const bool is_ssd_path = index && *index < recorded.size() && !same_folder(recorded[*index], recorded_dir);
  // What was where `named` is now.
  const std::string was = is_ssd_path ? recorded[*index] : recorded_dir;
  if (is_ssd_path && !recorded_dir.empty()) {
    const std::string beside_it = beside(recorded_dir, was, named, place.manifest.run_id);
    if ((beside_it != recorded_dir || same_folder(was, named)) && holds_run(beside_it, place.manifest.run_id)) place.run_dir = beside_it;
  }
  const bool has_run_dir = !is_ssd_path || place.run_dir != named;
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    if (is_ssd_path && i == *index) {
      place.ssd_paths.push_back(named);
    } else if (has_run_dir && !recorded_dir.empty() && lies_in(recorded[i], recorded_dir)) {
      place.ssd_paths.push_back(moved(recorded[i], recorded_dir, place.run_dir));
    } else {
      place.ssd_paths.push_back(was.empty() ? recorded[i] : beside(recorded[i], was, named, place.manifest.run_id));
    }
  }
}

// Folders that somebody names, by the run's path index.
std::vector<std::string> in_the_runs_order(const std::vector<std::string>& given, const Manifest& manifest, std::size_t paths) {
  std::vector<std::string> ordered(paths);
  std::vector<std::string> unknown;
  if (given.size() != paths)
    throw Error(ErrorKind::usage, fmt::format("{} SSD paths are named and the run has {}; name all of them, each once", given.size(), paths));
  for (const std::string& folder : given) {
    const std::string path = folder.empty() ? throw Error(ErrorKind::usage, "an SSD path is \"\"; name a folder") : resolved(folder);
    const std::optional<Manifest> own = manifest_in(path);
    if (own && own->run_id != manifest.run_id)
      core::throw_storage("use SSD path", path, fmt::format("it belongs to run {}, not to run {}", own->run_id, manifest.run_id), "name the folders of one run");
    const std::optional<std::size_t> index = own ? path_index_of(*own) : std::nullopt;
    index && *index < paths && ordered[*index].empty() ? ordered[*index] = path : unknown.emplace_back(path);
  }
  for (std::string& path : ordered) {
    if (!path.empty()) continue;
    path = unknown.back();
    unknown.pop_back();
  }
  return ordered;
}

// A commit is in all folders before the next one begins: a run directory that is further behind is a copy, wherever the original is now.
void refuse_older_copy(const std::string& run_dir, const Manifest* own, const std::string& folder, const Manifest& manifest, bool reads_only) {
  if (own == nullptr || manifest.generation <= own->generation + 1) return;
  core::throw_storage("use SSD path", folder,
                      fmt::format("it holds commit {} of the run, and {} is a copy of the run's folder as of commit {}", manifest.generation, run_dir, own->generation),
                      reads_only ? "name the run's own folder, or that SSD path itself"
                                 : "set run.dir to the run's own folder; if that is lost, remove the manifests from this copy and pass --resume must");
}

// A commit counts from its first copy on: another folder may have it where the named one was not reached any more, or is torn.
void take_newest(Place& place, const std::string& fault) {
  std::vector<std::string> folders = place.ssd_paths;
  folders.push_back(place.run_dir);
  for (const std::string& folder : folders) {
    std::optional<Manifest> other = manifest_in(folder);
    const bool next = other && other->run_id == place.manifest.run_id && other->generation == place.manifest.generation + 1;
    if (next) place.manifest = *std::move(other);
  }
  if (!fault.empty()) spdlog::warn("{} (used instead: commit {})", fault, place.manifest.generation);
}

}  // namespace

std::string recorded_run_dir(const Manifest& manifest) {
  const nlohmann::json& storage = manifest.storage;
  if (storage.is_object() && storage.contains("run_dir") && storage["run_dir"].is_string()) return storage["run_dir"].get<std::string>();
  // Runs of earlier versions have it in their config alone.
  const nlohmann::json::json_pointer of_config("/config/run/dir");
  const nlohmann::json& training = manifest.training;
  if (!training.is_object() || !training.contains(of_config) || !training.at(of_config).is_string()) return "";
  const fs::path dir = training.at(of_config).get<std::string>();
  if (!dir.is_absolute()) return "";  // of a program's own config: relative to where it ran
  std::error_code error;
  const fs::path real = fs::weakly_canonical(dir, error);  // as the paths beside it are
  return error ? dir.string() : real.string();
}

Place locate(const std::string& directory, const std::vector<std::string>& ssd_paths) {
  if (directory.empty()) throw Error(ErrorKind::usage, "the run's folder is \"\": name a run directory, or one of its SSD paths");
  const std::string named = resolved(directory);
  std::string fault;
  std::optional<Manifest> manifest = manifest_in(named, &fault);
  if (!manifest) {
    if (!fault.empty()) throw Error(ErrorKind::storage, fault);
    std::error_code ignored;
    const bool there = fs::is_directory(named, ignored);
    core::throw_storage("read the run in", directory, there ? "it holds no commit" : "there is no such folder", remedy_for(named));
  }
  Place place{named, {}, *std::move(manifest)};
  if (ssd_paths.empty()) {
    find_paths(place);
  } else {
    place.ssd_paths = in_the_runs_order(ssd_paths, place.manifest, recorded_paths(named, place.manifest).size());
  }
  take_newest(place, fault);
  return place;
}

bool belongs_elsewhere(const std::string& run_dir, const std::string& folder, const Manifest& manifest) {
  const std::string original = recorded_run_dir(manifest);
  if (original.empty() || same_folder(original, run_dir) || !holds_run(original, manifest.run_id)) return false;
  const std::optional<std::size_t> index = path_index_of(manifest);
  const std::vector<std::string> recorded = recorded_paths(folder, manifest);
  return index && *index < recorded.size() && same_folder(recorded[*index], folder);  // else it was copied as well
}

std::optional<Place> locate_share(const std::string& directory, const std::vector<std::string>& candidates) {
  std::optional<Manifest> manifest = manifest_in(directory, nullptr, kAny);
  if (!manifest) return std::nullopt;
  Place place{directory, {}, *std::move(manifest)};
  find_paths(place);
  for (const std::string& folder : candidates) {
    const std::optional<Manifest> own = manifest_in(folder, nullptr, kAny);
    const std::optional<std::size_t> index = own && own->run_id == place.manifest.run_id ? path_index_of(*own) : std::nullopt;
    if (index && *index < place.ssd_paths.size()) place.ssd_paths[*index] = folder;
  }
  return place;
}

void refuse_of_the_original(const std::string& run_dir, const std::vector<std::string>& folders, const std::vector<Copy>& copies, bool reads_only) {
  const auto copy_of = [&](const std::string& folder) {
    const auto found = std::find_if(copies.begin(), copies.end(), [&](const Copy& copy) { return copy.directory == folder; });
    return found == copies.end() ? nullptr : found->any();
  };
  const Manifest* own = copy_of(run_dir);
  for (const std::string& folder : folders) {
    const Manifest* manifest = folder == run_dir ? nullptr : copy_of(folder);
    if (manifest == nullptr) continue;
    if (belongs_elsewhere(run_dir, folder, *manifest) && !(reads_only && (own == nullptr || own->generation >= manifest->generation))) {
      const std::string original = recorded_run_dir(*manifest);
      core::throw_storage("use SSD path", folder,
                          fmt::format("it is that of the run in {}{}, and {} is {}", original,
                                      reads_only ? fmt::format(", at commit {}", manifest->generation) : "", run_dir,
                                      own == nullptr ? "another folder" : fmt::format("a copy of that folder as of commit {}", own->generation)),
                          reads_only ? fmt::format("name {}, or the copied SSD paths with --ssd", original)
                                     : fmt::format("set run.dir to {}, or copy its SSD paths as well and name those; if it is to be given up, remove it", original));
    }
    refuse_older_copy(run_dir, own, folder, *manifest, reads_only);
  }
}

}  // namespace gsnake::store
