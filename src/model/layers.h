// The layers that the built-in families share. Parameters are created on the meta device: they cost no memory until they are bound.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "greedysnake/cached_unit.h"
#include "greedysnake/model_config.h"
#include "greedysnake/unit.h"
#include "model/linear.h"

namespace gsnake::model {

// weight (count, hidden); ids of any shape in, one more dimension out.
class Embedding : public torch::nn::Module {
 public:
  Embedding(std::int64_t count, std::int64_t hidden);
  torch::Tensor forward(const torch::Tensor& ids) const;
  // In place of the parameter's values from now on; null: these again. Borrowed.
  void set_rows(const FrozenRows* rows) { rows_ = rows; }

 private:
  const FrozenRows* rows_ = nullptr;
  torch::Tensor weight_;
};

// Over the last dimension, with weight and bias.
class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(std::int64_t hidden, double epsilon);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::int64_t hidden_;
  double epsilon_;
  torch::Tensor weight_;
  torch::Tensor bias_;
};

// x / sqrt(mean(x^2) + epsilon) * weight over the last dimension, the quotient in fp32 (Zhang and Sennrich, 2019).
class RmsNorm : public torch::nn::Module {
 public:
  RmsNorm(std::int64_t hidden, double epsilon);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  double epsilon_;
  torch::Tensor weight_;
};

// Rotary position embedding in Hugging Face's convention: dimension i of a head is paired with i + head_dim / 2 and turned by
// position * theta^(-2i / head_dim), that frequency stretched by `scaling`. The tables depend on the shape alone: 4 * tokens * head_dim bytes
// for the longest row seen.
class RotaryEmbedding {
 public:
  RotaryEmbedding(std::int64_t head_dim, double theta, RopeScaling scaling) : head_dim_(head_dim), theta_(theta), scaling_(std::move(scaling)) {}
  // (rows, heads, tokens, head_dim) in and out. Of packed documents (unit_context()) each has positions from 0.
  torch::Tensor apply(const torch::Tensor& x);
  // The same of tokens at the cache's positions.
  torch::Tensor apply(const torch::Tensor& x, const TokenCache& cache);

 private:
  void make_tables(std::int64_t tokens, const torch::Device& device);
  void ensure_tables(std::int64_t tokens, const torch::Device& device);
  static torch::Tensor turned(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin);

  std::int64_t head_dim_;
  double theta_;
  RopeScaling scaling_;
  torch::Tensor cos_;  // (tokens, head_dim / 2) fp32
  torch::Tensor sin_;
};

// A rotary frequency as `scaling` stretches it. linear: divided by the factor. llama3: divided where a wave is longer than original_context /
// low_freq_factor, kept where it is shorter than original_context / high_freq_factor, a blend of both between (Llama 3.1).
float scaled_frequency(float frequency, const RopeScaling& scaling);

// Causal softmax(q k^T / sqrt(head_dim)) v; q (rows, heads, tokens, head_dim), k and v with kv heads that divide heads, each serving
// heads / kv_heads neighbouring query heads. Returns (rows, tokens, heads * head_dim), contiguous.
class CausalAttention {
 public:
  // window: tokens that a position attends to, itself included; 0: all before it.
  explicit CausalAttention(std::int64_t window = 0) : window_(window) {}
  // Of packed documents (unit_context()) each attends to itself.
  torch::Tensor apply(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout);

 private:
  torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout);  // (rows, heads, tokens, head_dim)
  torch::Tensor apply_to_each(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout);
  const torch::Tensor& mask(const torch::Tensor& q);
  static torch::Tensor joined(const torch::Tensor& heads);  // (rows, heads, tokens, head_dim) -> (rows, tokens, heads * head_dim)

  std::int64_t window_;
  torch::Tensor mask_;  // (tokens, tokens): 0 where attended to, else -infinity; for the shape and dtype seen last
};

// A head whose loss is cross-entropy and nothing else: a device may do it in its own way.
class LanguageHead : public HeadUnit {
 public:
  torch::Tensor loss_sum(const torch::Tensor& hidden, const torch::Tensor& labels) final { return HeadUnit::loss_sum(hidden, labels); }
};

// (rows, tokens) int64: each token's place in its document, as unit_context() has them.
torch::Tensor document_positions(std::int64_t rows, std::int64_t tokens, const torch::Device& device);

// Normal(0, std) for every parameter of two dimensions and more, 1 for one-dimensional ones called weight, 0 for the rest. Draws in
// registration order. The parameter called `skip` (a tied one) is left alone.
void initialize_parameters(torch::nn::Module& module, double std, const std::string& skip = {});

}  // namespace gsnake::model
