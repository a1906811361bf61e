// Hugging Face's config.json as a ModelConfig, and back.
#pragma once

#include <string>
#include <string_view>

#include "greedysnake/model_config.h"
#include "hf/json.h"
#include "hf/safetensors.h"

namespace gsnake::hf {

inline constexpr const char* kConfigName = "config.json";

// Of `text`, which `path` names in messages. Every key is either understood or known not to change what the model computes. Throws
// Error(input) that names the key for anything else: another architecture, an option that this build has no code for, a size out of range.
ModelConfig parse_model_config(const std::string& path, std::string_view text);
// FOLDER/config.json; `from` is set to the folder.
ModelConfig read_model_config(const std::string& folder);

// What transformers makes the same model of. `carried` is the config.json that the model was imported with, or null: its other keys stay.
Json make_model_config(const ModelConfig& model, Dtype dtype, const Json& carried);

}  // namespace gsnake::hf
