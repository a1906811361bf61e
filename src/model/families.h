// What the built-in families have in common: checked shapes and the assembly of a Model.
#pragma once

#include <cstdint>
#include <memory>

#include "greedysnake/model_config.h"
#include "greedysnake/unit.h"

namespace gsnake::model {

inline constexpr double kInitialStd = 0.02;

// Throws Error(usage) naming the key ("model.heads") for what no family can be built with: sizes below 1, a vocabulary or context below 1,
// a dropout outside [0, 1), an epsilon that is not positive.
void check_common(const ModelConfig& config);
// Throws Error(usage): "model.KEY = VALUE: WHY".
[[noreturn]] void refuse(const char* key, const std::string& value, const std::string& why);

struct FamilyUnits {
  std::shared_ptr<EmbeddingUnit> embedding;
  std::shared_ptr<Unit> block;
  std::shared_ptr<HeadUnit> head;
  double block_forward_flops_per_token = 0.0;
};

// A model of one embedding, config.layers blocks and one head; the initializer is left to the family. `tied_embedding` and `tied_head` are
// the names of the shared parameter, used if config.tie_embeddings.
Model assemble(const ModelConfig& config, const FamilyUnits& units, const char* tied_embedding, const char* tied_head);

}  // namespace gsnake::model
