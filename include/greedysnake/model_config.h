// The shape of a model: the [model] table of a config.
#pragma once

#include <cstdint>
#include <string>

namespace gsnake {

// The [model] table of a config. Shapes as in Hugging Face's config.json.
struct ModelConfig {
  std::string family = "gpt2";
  std::int64_t layers = 12;
  std::int64_t hidden = 768;
  std::int64_t heads = 12;
  std::int64_t kv_heads = 0;      // 0: as heads
  std::int64_t head_dim = 0;      // 0: hidden / heads
  std::int64_t intermediate = 0;  // 0: 4 x hidden (gpt2)
  std::int64_t vocab = 50304;
  std::int64_t context = 1024;
  bool tie_embeddings = true;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  double dropout = 0.0;
  std::string from;
};

}  // namespace gsnake
