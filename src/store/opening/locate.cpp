#include "store/opening/locate.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/errors.h"
#include "core/log.h"

namespace gsnake::store {
namespace {

namespace fs = std::filesystem;

// Torn ones count as absent, with the reason in `fault`.
std::optional<Manifest> manifest_in(const std::string& folder, std::string* fault = nullptr) {
  for (const char* name : {kManifestName, kPreviousName}) {
    try {
      if (std::optional<Manifest> manifest = read_manifest(folder, name)) return manifest;
    } catch (const Error& error) {
      if (fault != nullptr && fault->empty()) *fault = error.what();
      spdlog::debug("{}", error.what());
    }
  }
  return std::nullopt;
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || (fs::equivalent(a, b, error) && !error);
}

std::optional<std::size_t> path_index(const Manifest& manifest) {
  const nlohmann::json index = manifest.storage.value("path_index", nlohmann::json());
  return index.is_number_unsigned() ? std::optional(index.get<std::size_t>()) : std::nullopt;
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

// `path` as seen from `from`, seen from `to` instead.
std::string moved(const std::string& path, const std::string& from, const std::string& to) {
  fs::path now = (fs::path(to) / fs::path(path).lexically_relative(from)).lexically_normal();
  if (!now.has_filename()) now = now.parent_path();
  return now.string();
}

bool holds_run(const std::string& folder, const std::string& run_id) {
  const std::optional<Manifest> manifest = manifest_in(folder);
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

}  // namespace

std::string recorded_run_dir(const Manifest& manifest) {
  const nlohmann::json& storage = manifest.storage;
  if (storage.is_object() && storage.contains("run_dir") && storage["run_dir"].is_string()) return storage["run_dir"].get<std::string>();
  // Runs of earlier versions have it in their config alone.
  const nlohmann::json::json_pointer of_config("/config/run/dir");
  const nlohmann::json& training = manifest.training;
  return training.is_object() && training.contains(of_config) && training.at(of_config).is_string() ? training.at(of_config).get<std::string>() : "";
}

Place locate(const std::string& directory, const std::vector<std::string>& ssd_paths) {
  if (directory.empty()) throw Error(ErrorKind::usage, "the run's folder is \"\": name a run directory, or one of its SSD paths");
  std::error_code ignored;
  const std::string named = fs::weakly_canonical(fs::absolute(directory), ignored).string();
  std::string fault;
  std::optional<Manifest> manifest = manifest_in(named, &fault);
  if (!manifest) {
    if (!fault.empty()) throw Error(ErrorKind::storage, fault);
    const bool there = fs::is_directory(named, ignored);
    core::throw_storage("read the run in", directory, there ? "it holds no commit" : "there is no such folder", remedy_for(named));
  }
  Place place{named, ssd_paths, *std::move(manifest)};
  if (!ssd_paths.empty()) return place;

  const std::vector<std::string> recorded = recorded_paths(named, place.manifest);
  const std::string recorded_dir = recorded_run_dir(place.manifest);
  const std::optional<std::size_t> index = path_index(place.manifest);
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
    const std::string original = recorded_run_dir(*manifest);
    if (original.empty() || same_folder(original, run_dir) || !holds_run(original, manifest->run_id)) continue;
    const std::optional<std::size_t> index = path_index(*manifest);
    const std::vector<std::string> recorded = recorded_paths(folder, *manifest);
    if (!index || *index >= recorded.size() || !same_folder(recorded[*index], folder)) continue;  // it was copied as well
    if (reads_only && (own == nullptr || own->generation >= manifest->generation)) continue;
    core::throw_storage("use SSD path", folder,
                        fmt::format("it is that of the run in {}{}, and {} is {}", original,
                                    reads_only ? fmt::format(", at commit {}", manifest->generation) : "", run_dir,
                                    own == nullptr ? "another folder" : fmt::format("a copy of that folder as of commit {}", own->generation)),
                        reads_only ? fmt::format("name {}, or the copied SSD paths with --ssd", original)
                                   : fmt::format("set run.dir to {}, or copy its SSD paths as well and name those; if it is to be given up, remove it", original));
  }
}

}  // namespace gsnake::store
