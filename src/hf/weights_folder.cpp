#include "hf/weights_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/log.h"
#include "hf/folder.h"
#include "hf/json.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostIndexBytes = 100'000'000;

// A name that leads nowhere but into the folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos && name.find('\\') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Files that transformers could load weights from, or that other programs do.
bool is_of_weights(const std::string& name) {
  return name.ends_with(".safetensors") || (name.starts_with("model.safetensors.index.") && name.ends_with(".json")) ||
         name.starts_with("pytorch_model");
}

[[noreturn]] void refuse_without_weights(const std::string& folder) {
  explain_absence(folder, kSingleName);
  const std::string neither = fmt::format("it holds neither {} nor {}", kSingleName, kIndexName);
  const std::string index = (fs::path(folder) / kIndexName).string();
  if (std::error_code ignored; fs::is_symlink(index, ignored)) refuse(folder, kIndexName + absence(index));
  std::vector<std::string> others = names_in(folder);
  std::erase_if(others, [](const std::string& name) { return !name.ends_with(".safetensors"); });
  if (std::any_of(others.begin(), others.end(), [](const std::string& name) { return name.find("-of-") != std::string::npos; }))
    refuse(folder, fmt::format("{}, but {}: parts are read by their index; download that too", neither, listed(others)));
  if (!others.empty()) {
    refuse(folder, fmt::format("{}, but {}; if that is the whole model, in transformers' names of tensors, rename it to {}", neither,
                               listed(others), kSingleName));
  }
  for (const char* old : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt.index", "flax_model.msgpack"}) {
    if (is_file((fs::path(folder) / old).string()))
      refuse(folder, fmt::format("{}, but {}; save it again with save_pretrained(), which writes safetensors", neither, old));
  }
  refuse(folder, neither);
}

}  // namespace

std::map<std::string, std::string> parse_index(const std::string& path, std::string_view text) {
  const nlohmann::json json = parse_table(path, text);
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object() || found->empty()) refuse(path, "its weight_map is missing, empty or no object");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : found->items()) {
    if (!file.is_string()) refuse(path, fmt::format("tensor {}: its file is no text", shown(tensor)));
    const auto name = file.get<std::string>();
    if (!is_plain_name(name))
      refuse(path, fmt::format("tensor {}: \"{}\" is not the name of a file in this folder", shown(tensor), shown(name)));
    files[tensor] = name;
  }
  return files;
}

WeightsFolder::WeightsFolder(const std::string& folder) : folder_(folder) {
  refuse_adapter(folder);
  // As transformers: a single file comes before an index, which an earlier save may have left.
  if (is_file((fs::path(folder) / kSingleName).string())) {
    add_file(kSingleName);
  } else if (is_file((fs::path(folder) / kIndexName).string())) {
    add_indexed();
  } else {
    refuse_without_weights(folder);
  }
  tell_what_is_not_read();
}

WeightsFolder WeightsFolder::of_adapter(const std::string& folder) {
  if (!is_file((fs::path(folder) / kAdapterName).string())) refuse(folder, fmt::format("{}{}; name a folder that PEFT or `gsnake export` wrote", kAdapterName, absence((fs::path(folder) / kAdapterName).string())));
  return {folder, kAdapterName};
}

WeightsFolder::WeightsFolder(const std::string& folder, const char* only_file) : folder_(folder) { add_file(only_file); }

void WeightsFolder::add_indexed() {
  const std::string index = (fs::path(folder_) / kIndexName).string();
  const std::map<std::string, std::string> places = parse_index(index, read_text(index, kMostIndexBytes));
  std::set<std::string> names;
  for (const auto& [tensor, file] : places) {
    const std::string path = (fs::path(folder_) / file).string();
    if (!is_file(path)) refuse(index, fmt::format("tensor {}: its file {}{}", shown(tensor), shown(file), absence(path)));
    names.insert(file);
  }
  for (const std::string& name : names) add_file(name);
  for (const auto& [tensor, file] : places) {
    const TensorSource* source = find(tensor);
    if (source == nullptr || source->file->path() != (fs::path(folder_) / file).string()) {
      refuse(index, fmt::format("tensor {} is not in {}, which is said to hold it", shown(tensor), shown(file)));
    }
  }
  for (const auto& [tensor, source] : tensors_) {
    if (!places.contains(tensor))
      refuse(source.file->path(), fmt::format("tensor {} at offset {} is not in {}", shown(tensor), source.tensor.offset, kIndexName));
  }
}

void WeightsFolder::tell_what_is_not_read() const {
  const bool is_indexed = files_.front().path() != (fs::path(folder_) / kSingleName).string();
  std::set<std::string> read{is_indexed ? kIndexName : kSingleName};
  for (const MappedFile& file : files_) read.insert(fs::path(file.path()).filename().string());
  std::vector<std::string> others = names_in(folder_);
  std::erase_if(others, [&](const std::string& name) { return read.contains(name) || !is_of_weights(name); });
  if (others.empty()) return;
  spdlog::warn("{}: the weights are read from {}, as transformers does; passed over: {}", folder_, is_indexed ? kIndexName : kSingleName,
               listed(others));
}

const TensorSource* WeightsFolder::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void WeightsFolder::add_file(const std::string& name) {
  const MappedFile& file = files_.emplace_back((fs::path(folder_) / name).string());
  for (Tensor& tensor : parse_safetensors(file.path(), file.bytes())) {
    const auto [place, added] = tensors_.try_emplace(tensor.name, TensorSource{&file, tensor});
    if (!added) {
      refuse(file.path(),
             fmt::format("tensor {} at offset {} is in {} as well", shown(tensor.name), tensor.offset, place->second.file->path()));
    }
  }
}

}  // namespace gsnake::hf
