// Units that generate a text a token at a time: what attention needs of earlier tokens is kept, so that they are computed once.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace gsnake {

// The tokens of one call, of one text or of several, one text's after another's, and what was kept of those before them.
class TokenCache {
 public:
  virtual ~TokenCache() = default;
  // int64 (tokens): the place of each in its text, from 0.
  [[nodiscard]] virtual const torch::Tensor& positions() const = 0;
  // Positions of this generation stay below it: a table that is so long serves all its calls.
  [[nodiscard]] virtual std::int64_t most_positions() const = 0;
  // Causal softmax(q k^T / sqrt(head_dim)) v within each text, over the keys and values of its earlier tokens as well; these are kept for the calls
  // to come. q (1, heads, tokens, head_dim), k and v (1, kv_heads, tokens, head_dim), kv_heads divides heads; window: tokens that each position
  // attends to, itself included, 0: all before it. Returns (1, tokens, heads * head_dim). Once a call of a unit.
  virtual torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, std::int64_t window) = 0;
};

// Derive an EmbeddingUnit or a Unit from it as well. A model generates with a cache where its embedding and all its blocks do; else every token costs
// a pass over the whole text.
class CachedUnit {
 public:
  virtual ~CachedUnit() = default;
  // As forward() would have it for the same tokens in the middle of their texts. input: ids (1, tokens) of an embedding, hidden states
  // (1, tokens, hidden) of a block.
  virtual torch::Tensor forward_cached(const torch::Tensor& input, TokenCache& cache) = 0;
  // Numbers that attend() keeps of a token: a key and a value of every kv head. 0: attend() is not called.
  [[nodiscard]] virtual std::int64_t cached_numbers() const = 0;
};

}  // namespace gsnake
