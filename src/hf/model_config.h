// Hugging Face's config.json as a ModelConfig, and back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "greedysnake/model_config.h"
#include "hf/json.h"
#include "hf/safetensors.h"

namespace gsnake::hf {

inline constexpr const char* kConfigName = "config.json";

struct ParsedConfig {
  ModelConfig model;
  std::vector<std::string> unread;  // keys that neither this build nor the family's class in transformers reads
};

// Of `text`, which `path` names in messages. Throws Error(input) that names every key for which transformers would compute something else:
// another architecture, an option that this build has no code for, a size out of range, two names of one value that differ.
ParsedConfig parse_config(const std::string& path, std::string_view text);
ModelConfig parse_model_config(const std::string& path, std::string_view text);
// FOLDER/config.json; `from` is set to the folder.
ModelConfig read_model_config(const std::string& folder);
// Logs one line that names the unread keys of FOLDER/config.json, if there are any and it is a family's of this build.
void tell_unread_keys(const std::string& folder);

// What transformers makes the same model of. `carried` is the config.json that the model was imported with, or null: its other keys stay.
Json make_model_config(const ModelConfig& model, Dtype dtype, const Json& carried);

}  // namespace gsnake::hf
