#include "convert/carried_files.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "core/errors.h"
#include "hf/model_config.h"
#include "io/durable.h"
#include "store/folder/claim.h"

namespace gsnake::convert {
namespace {

namespace fs = std::filesystem;

bool is_carried(const std::string& name) {
  for (const std::string_view exact :
       {"config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"}) {
    if (name == exact) return true;
  }
  for (const std::string_view beginning : {"tokenizer", "vocab", "chat_template"}) {
    if (name.starts_with(beginning)) return true;
  }
  return name.ends_with(".model");  // of SentencePiece
}

std::vector<std::string> carried_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && is_carried(entry.path().filename().string())) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Ranks have their stores below run_dir, which none of them has claimed.
void claim(const std::string& run_dir, store::Store& store) {
  if (store::read_claim(run_dir)) return;
  const std::vector<std::string> names{kCarriedName};
  store::refuse_others(run_dir, names);
  store.add_file(run_dir + "/" + store::kClaimName);
  store::write_claim(io::kernel_sync(), run_dir, {});
}

}  // namespace

std::string carried_folder(const std::string& run_dir) { return (fs::path(run_dir) / kCarriedName).string(); }

void carry_files(const std::string& from, store::Store& store, const std::string& run_dir) {
  const std::string folder = carried_folder(run_dir);
  std::error_code error;
  if (!from.empty() && fs::equivalent(from, folder, error)) {
    throw Error(ErrorKind::usage, "cannot import " + from + ": a run keeps copies of its tokenizer files in a folder of that name; choose another run.dir");
  }
  if (from.empty() && !store::read_claim(run_dir)) return;  // what is there is nobody's of ours
  claim(run_dir, store);
  // Of an earlier run, by their names: the folder may hold something of the user's as well.
  for (const std::string& path : carried_in(folder)) {
    if (!fs::remove(path, error) && error) core::throw_storage("remove", path, error, "it belongs to the run that is replaced");
  }
  if (from.empty()) return;
  store.add_folder(folder);
  for (const auto& [name, bytes] : files_to_carry(from)) {
    const std::string copy = (fs::path(folder) / name).string();
    store.add_file(copy);
    io::write_file(io::kernel_sync(), copy, std::as_bytes(std::span(bytes)));
  }
  io::sync_directory(io::kernel_sync(), folder);
}

std::vector<std::pair<std::string, std::string>> files_to_carry(const std::string& from) {
  std::vector<std::pair<std::string, std::string>> files;
  if (from.empty()) return files;
  for (const std::string& path : carried_in(from)) {
    std::optional<std::string> bytes = io::read_whole_file(path);
    if (!bytes) throw Error(ErrorKind::input, "cannot read " + path + ": it is gone; leave the folder alone while it is read");
    files.emplace_back(fs::path(path).filename().string(), *std::move(bytes));
  }
  return files;
}

hf::Json config_of_folder(const std::string& from) {
  const std::string path = (fs::path(from) / hf::kConfigName).string();
  const std::optional<std::string> text = from.empty() ? std::nullopt : io::read_whole_file(path);
  return text ? hf::parse_object(path, *text) : hf::Json();
}

std::vector<std::string> carried_files(const std::string& run_dir) { return carried_in(carried_folder(run_dir)); }

}  // namespace gsnake::convert
