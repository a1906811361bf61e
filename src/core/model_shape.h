// What a model's shape means where it leaves a value to its family.
#pragma once

#include <cstdint>

#include "greedysnake/model_config.h"

namespace gsnake::core {

// Sides of matrices whose sizes overflow nothing, rows that can be held, and a number of units whose graph fits memory.
inline constexpr std::int64_t kMostLayers = 1 << 16;
inline constexpr std::int64_t kMostWide = 1 << 24;

// With every value that 0 or a family stands for. head_dim stays 0 where heads do not divide hidden, which is refused elsewhere.
inline ModelConfig spelt_out(ModelConfig model) {
  const bool is_gpt2 = model.family == ModelFamily::gpt2;
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.head_dim == 0 && model.heads > 0 && model.hidden % model.heads == 0) model.head_dim = model.hidden / model.heads;
  if (model.intermediate == 0) model.intermediate = is_gpt2 ? 4 * model.hidden : (8 * model.hidden / 3 + 63) / 64 * 64;
  model.qkv_bias = model.qkv_bias || is_gpt2 || model.family == ModelFamily::qwen2;
  model.qk_norm = model.qk_norm || model.family == ModelFamily::qwen3;
  return model;
}

}  // namespace gsnake::core
