// PEFT's adapter_config.json.
#pragma once

#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "hf/json.h"

namespace gsnake::hf {

inline constexpr const char* kAdapterConfigName = "adapter_config.json";

// `base`: where the model is that the adapter belongs to, "" where that isn't known. `targets`: modules' names. transposed: the model stores
// matrices (in, out). tied: the embedding is trained whole, and the head is the same tensor.
Json make_adapter_config(const AdapterConfig& adapter, const std::string& base, const std::vector<std::string>& targets, bool transposed, bool tied);

// Throws Error(input) for a folder whose adapter_config.json is missing or no LoRA's; Error(usage) where its rank, alpha, variant or dropout is not
// what `adapter` says, with the key.
void refuse_other_adapter(const std::string& folder, const AdapterConfig& adapter);

}  // namespace gsnake::hf
