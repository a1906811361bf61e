#include "hf/weights_folder.h"

#include <filesystem>
#include <set>

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

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

[[noreturn]] void refuse_folder(const std::string& folder) {
  if (!is_there(folder)) refuse(folder, "there is no such folder; name one with config.json and safetensors files");
  for (const char* old : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt.index", "flax_model.msgpack"}) {
    if (is_there(fs::path(folder) / old)) {
      refuse(folder, fmt::format("it holds {} but neither {} nor {}; save it again with save_pretrained(), which writes safetensors", old,
                                 kSingleName, kIndexName));
    }
  }
  refuse(folder, fmt::format("it holds neither {} nor {}", kSingleName, kIndexName));
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
  const std::string index = (fs::path(folder) / kIndexName).string();
  if (!is_there(index)) {
    if (!is_there(fs::path(folder) / kSingleName)) refuse_folder(folder);
    add_file(kSingleName);
    return;
  }
  const std::map<std::string, std::string> places = parse_index(index, read_text(index, kMostIndexBytes));
  std::set<std::string> names;
  for (const auto& [tensor, file] : places) {
    if (!is_there(fs::path(folder) / file)) refuse(index, fmt::format("tensor {}: its file {} is missing", shown(tensor), shown(file)));
    names.insert(file);
  }
  for (const std::string& name : names) add_file(name);
  for (const auto& [tensor, file] : places) {
    const TensorSource* source = find(tensor);
    if (source == nullptr || source->file->path() != (fs::path(folder) / file).string()) {
      refuse(index, fmt::format("tensor {} is not in {}, which is said to hold it", shown(tensor), shown(file)));
    }
  }
  for (const auto& [tensor, source] : tensors_) {
    if (!places.contains(tensor))
      refuse(source.file->path(), fmt::format("tensor {} at offset {} is not in {}", shown(tensor), source.tensor.offset, kIndexName));
  }
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
