// The model families that the library brings.
#pragma once

#include "greedysnake/config.h"
#include "greedysnake/model_config.h"
#include "greedysnake/unit.h"

namespace gsnake {

namespace models {

Model gpt2(const ModelConfig& config);
Model llama(const ModelConfig& config);
Model mistral(const ModelConfig& config);
Model qwen2(const ModelConfig& config);
Model qwen3(const ModelConfig& config);
// By config.family. Throws Error(usage) for a family or a shape that can't be (heads that do not divide hidden, ...), with the key.
Model make(const ModelConfig& config);
// config.model with the adapters of config.adapter, if it asks for some: what is trained is these, then. Throws Error(usage) as above, and for a
// module that config.adapter names and the model lacks.
Model make(const Config& config);

}  // namespace models
}  // namespace gsnake
