// The shape of a model: the [model] table of a config.
#pragma once

#include <cstdint>
#include <string>

#include "greedysnake/choices.h"

namespace gsnake {

struct RopeScaling {
  RopeScalingType type = RopeScalingType::none;
  double factor = 1.0;
  double low_freq_factor = 1.0;       // llama3
  double high_freq_factor = 4.0;      // llama3
  std::int64_t original_context = 0;  // llama3: tokens of the context before scaling
};

// The [model] table of a config. Shapes as in Hugging Face's config.json.
struct ModelConfig {
  ModelFamily family = ModelFamily::gpt2;
  std::int64_t layers = 12;
  std::int64_t hidden = 768;
  std::int64_t heads = 12;
  std::int64_t kv_heads = 0;      // 0: as heads
  std::int64_t head_dim = 0;      // 0: hidden / heads
  std::int64_t intermediate = 0;  // 0: 4 x hidden (gpt2), 8/3 x hidden rounded up to 64 (the others)
  std::int64_t vocab = 50304;
  std::int64_t context = 1024;
  bool tie_embeddings = true;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  std::int64_t sliding_window = 0;  // tokens each position attends to; 0: all before it
  bool qkv_bias = false;            // biases on q, k and v; gpt2 always has them
  bool qk_norm = false;             // RMSNorm on each head's q and k
  double dropout = 0.0;
  std::string from;
};

}  // namespace gsnake
