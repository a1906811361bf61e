// Adapters beside a model's own weights, which are frozen: LoRA (Hu et al., 2021) and its relatives.
#pragma once

#include <string>

#include "greedysnake/config.h"
#include "greedysnake/unit.h"

namespace gsnake::model {

// The target that stands for all matrices of the blocks.
inline constexpr const char* kEveryMatrix = "linear";

// Every target of `config` gets one; what is neither one's nor of a module that is trained whole takes no gradient any more. Targets are named
// as in a Hugging Face folder, by their last part or more of it. Throws Error(usage) for a name that no module has, with those there are.
void add_adapters(Model& model, const AdapterConfig& config);

// Of a module whose weights are bound: magnitudes as long as the rows of these.
void reset_magnitudes(torch::nn::Module& module);

double adapter_scaling(const AdapterConfig& config);

// The name in a Hugging Face folder of the module that a parameter belongs to: "model.layers.{}.self_attn.q_proj" of "...q_proj.weight".
std::string module_of(const std::string& tensor);

// Whether a name of AdapterConfig::train_whole is the tensor's module's: as PEFT matches modules_to_save, the end of it, so that "norm" is every norm.
bool is_whole(const std::string& wanted, const std::string& tensor);

// In front of every name in an adapter's folder.
inline constexpr const char* kAdapterPrefix = "base_model.model.";

}  // namespace gsnake::model
