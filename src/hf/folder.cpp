#include "hf/folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/what_file.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

namespace fs = std::filesystem;

using core::lost_target;

constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr const char* kWanted = "name one with config.json and safetensors files";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string first_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// models--OWNER--NAME of the hub's cache: refs/main says which of the snapshots it is.
void explain_cache(const std::string& folder) {
  const fs::path snapshots = fs::path(folder) / "snapshots";
  if (!is_there(snapshots)) return;
  const std::vector<std::string> all = folders_in(snapshots.string());
  const std::string main = first_word((fs::path(folder) / "refs" / "main").string());
  if (std::find(all.begin(), all.end(), main) != all.end())
    refuse(folder, fmt::format("it is the top of a cache; name {}", (snapshots / main).string()));
  if (all.empty()) refuse(folder, "it is the top of a cache, and its snapshots are empty; download the model");
  refuse(folder, fmt::format("it is the top of a cache; name a folder in {}: {}", snapshots.string(), listed(all)));
}

void explain_folder(const std::string& folder) {
  const fs::path path(folder);
  if (const std::string target = lost_target(path); !target.empty())
    refuse(folder, fmt::format("it is a link to {}, which is not there; {}", target, kWanted));
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) refuse(folder, fmt::format("there is no such folder; {}", kWanted));
  if (fs::exists(status) && !fs::is_directory(status)) refuse(folder, "it is a file; name the folder that it lies in");
  if (fs::is_empty(path, error) && !error) refuse(folder, fmt::format("it is empty; {}", kWanted));
}

void explain_other_format(const std::string& folder) {
  if (is_file((fs::path(folder) / "config.json").string())) return;
  for (const std::string& name : names_in(folder)) {
    if (name.ends_with(".gguf"))
      refuse(folder,
             fmt::format("it holds {}; GGUF is not read here, take the model's folder with config.json and safetensors files", name));
    if (name == "params.json" || name.starts_with("consolidated.")) {
      refuse(folder,
             fmt::format(
                 "it holds {}, which is of the model's makers' own format; take its folder in the form of transformers, with config.json",
                 name));
    }
  }
}

}  // namespace

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string absence(const std::string& path) {
  const std::string target = lost_target(path);
  return target.empty()
             ? " is missing"
             : fmt::format(" is a link to {}, which is not there; download it again, or copy what links lead to as well (cp -rL)", target);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) || entry.is_symlink(error)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void refuse_adapter(const std::string& folder) {
  if (!is_there(fs::path(folder) / kAdapterConfig)) return;
  refuse(folder, fmt::format("it holds {}: an adapter, which changes what its model computes; merge the two (PEFT's merge_and_unload()), "
                             "save that, and name its "
                             "folder",
                             kAdapterConfig));
}

void explain_absence(const std::string& folder, const char* name) {
  explain_folder(folder);
  explain_cache(folder);
  const fs::path path = fs::path(folder) / name;
  if (!lost_target(path).empty()) refuse(folder, fmt::format("{}{}", name, absence(path.string())));
  refuse_adapter(folder);
  explain_other_format(folder);
  std::vector<std::string> inner = folders_in(folder);
  std::erase_if(inner, [&](const std::string& each) { return !is_there(fs::path(folder) / each / name); });
  if (!inner.empty()) refuse(folder, fmt::format("it holds no {}, but folders that do: {}; name one of them", name, listed(inner)));
}

void refuse_other_kind(const std::string& path, std::string_view begin) {
  if (const std::string_view kind = core::other_kind(begin); !kind.empty()) refuse(path, std::string(kind));
}

std::string listed(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + shown(names[i]);
  return names.size() > most ? fmt::format("{} and {} more", text, names.size() - most) : text;
}

}  // namespace gsnake::hf
