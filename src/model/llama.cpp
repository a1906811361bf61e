// Llama (Touvron et al., 2023) and its relatives, with the parameter names of Hugging Face's classes: Mistral adds a sliding window, Qwen2 biases on
// q, k and v, Qwen3 norms on each head's q and k.
#include "core/model_shape.h"
#include "greedysnake/models.h"
#include "model/families.h"
#include "model/fused.h"
#include "model/layers.h"

namespace gsnake::models {
namespace {

using model::CausalAttention;
using model::Embedding;
using model::Linear;
using model::RmsNorm;
using model::RotaryEmbedding;

// The config's shapes with defaults filled in.
struct LlamaShape {
  std::int64_t hidden;
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t intermediate;
  bool qkv_bias;
  bool qk_norm;
};

LlamaShape llama_shape(const ModelConfig& given) {
  const ModelConfig config = core::spelt_out(given);
  LlamaShape shape{config.hidden, config.heads, config.kv_heads, config.head_dim, config.intermediate, config.family == ModelFamily::qwen2, config.family == ModelFamily::qwen3};
  if (shape.heads % shape.kv_heads != 0) {
    model::refuse("kv_heads", std::to_string(shape.kv_heads), "must divide model.heads = " + std::to_string(shape.heads));
  }
  if (shape.head_dim % 2 != 0) {
    model::refuse("head_dim", std::to_string(shape.head_dim), "must be even for rotary positions; choose hidden and heads so that it is");
  }
  if (!(config.rope_theta > 0.0)) model::refuse("rope_theta", std::to_string(config.rope_theta), "must be above 0");
  if (config.dropout != 0.0) model::refuse("dropout", std::to_string(config.dropout), std::string(word_of(config.family)) + " has none; leave it out");
  return shape;
}

class LlamaEmbedding : public EmbeddingUnit, public CachedUnit {
 public:
  explicit LlamaEmbedding(const ModelConfig& config) {
    embed_tokens_ = register_module("embed_tokens", std::make_shared<Embedding>(config.vocab, config.hidden));
  }

  torch::Tensor forward(const torch::Tensor& ids) override { return embed_tokens_->forward(ids); }
  torch::Tensor forward_cached(const torch::Tensor& ids, TokenCache&) override { return forward(ids); }
  [[nodiscard]] std::int64_t cached_numbers() const override { return 0; }

 private:
  std::shared_ptr<Embedding> embed_tokens_;
};

class LlamaAttention : public torch::nn::Module {
 public:
  LlamaAttention(const ModelConfig& config, const LlamaShape& shape)
      : head_dim_(shape.head_dim), window_(config.sliding_window), rotary_(shape.head_dim, config.rope_theta, config.rope_scaling), attention_(config.sliding_window) {
    q_proj_ = register_module("q_proj", std::make_shared<Linear>(shape.hidden, shape.heads * shape.head_dim, shape.qkv_bias));
    k_proj_ = register_module("k_proj", std::make_shared<Linear>(shape.hidden, shape.kv_heads * shape.head_dim, shape.qkv_bias));
    v_proj_ = register_module("v_proj", std::make_shared<Linear>(shape.hidden, shape.kv_heads * shape.head_dim, shape.qkv_bias));
    o_proj_ = register_module("o_proj", std::make_shared<Linear>(shape.heads * shape.head_dim, shape.hidden, false));
    if (!shape.qk_norm) return;
    q_norm_ = register_module("q_norm", std::make_shared<RmsNorm>(shape.head_dim, config.norm_epsilon));
    k_norm_ = register_module("k_norm", std::make_shared<RmsNorm>(shape.head_dim, config.norm_epsilon));
  }

  // cache: null but where a text goes on.
  torch::Tensor forward(const torch::Tensor& x, TokenCache* cache) {
    const torch::Tensor q = turned(normed(q_norm_, split_heads(q_proj_->forward(x))).transpose(1, 2), cache);
    const torch::Tensor k = turned(normed(k_norm_, split_heads(k_proj_->forward(x))).transpose(1, 2), cache);
    const torch::Tensor v = split_heads(v_proj_->forward(x)).transpose(1, 2);
    return o_proj_->forward(cache == nullptr ? attention_.apply(q, k, v, /*dropout=*/0.0) : cache->attend(q, k, v, window_));
  }

 private:
  // (rows, tokens, heads, head_dim)
  torch::Tensor split_heads(const torch::Tensor& x) const { return x.view({x.size(0), x.size(1), -1, head_dim_}); }
  torch::Tensor turned(const torch::Tensor& x, const TokenCache* cache) { return cache == nullptr ? rotary_.apply(x) : rotary_.apply(x, *cache); }
  static torch::Tensor normed(const std::shared_ptr<RmsNorm>& norm, const torch::Tensor& x) { return norm ? norm->forward(x) : x; }

  std::int64_t head_dim_;
  std::int64_t window_;
  RotaryEmbedding rotary_;
  CausalAttention attention_;
  std::shared_ptr<Linear> q_proj_;
  std::shared_ptr<Linear> k_proj_;
  std::shared_ptr<Linear> v_proj_;
  std::shared_ptr<Linear> o_proj_;
  std::shared_ptr<RmsNorm> q_norm_;  // null where the family has none
  std::shared_ptr<RmsNorm> k_norm_;
};

class LlamaMlp : public torch::nn::Module {
 public:
  explicit LlamaMlp(const LlamaShape& shape) {
    gate_proj_ = register_module("gate_proj", std::make_shared<Linear>(shape.hidden, shape.intermediate, false));
    up_proj_ = register_module("up_proj", std::make_shared<Linear>(shape.hidden, shape.intermediate, false));
    down_proj_ = register_module("down_proj", std::make_shared<Linear>(shape.intermediate, shape.hidden, false));
  }

  torch::Tensor forward(const torch::Tensor& x) const {
    const torch::Tensor gate = gate_proj_->forward(x);
    const torch::Tensor up = up_proj_->forward(x);
    if (const model::FusedOps* ops = model::fused_ops(gate)) return down_proj_->forward(ops->swiglu(gate, up));
    return down_proj_->forward(torch::silu(gate) * up);
  }

 private:
  std::shared_ptr<Linear> gate_proj_;
  std::shared_ptr<Linear> up_proj_;
  std::shared_ptr<Linear> down_proj_;
};

class LlamaBlock : public Unit, public CachedUnit {
 public:
  LlamaBlock(const ModelConfig& config, const LlamaShape& shape) : cached_numbers_(2 * shape.kv_heads * shape.head_dim) {
    input_layernorm_ = register_module("input_layernorm", std::make_shared<RmsNorm>(shape.hidden, config.norm_epsilon));
    self_attn_ = register_module("self_attn", std::make_shared<LlamaAttention>(config, shape));
    post_attention_layernorm_ = register_module("post_attention_layernorm", std::make_shared<RmsNorm>(shape.hidden, config.norm_epsilon));
    mlp_ = register_module("mlp", std::make_shared<LlamaMlp>(shape));
  }

  torch::Tensor forward(const torch::Tensor& hidden) override { return forward(hidden, nullptr); }
  torch::Tensor forward_cached(const torch::Tensor& hidden, TokenCache& cache) override { return forward(hidden, &cache); }
  [[nodiscard]] std::int64_t cached_numbers() const override { return cached_numbers_; }

 private:
  torch::Tensor forward(const torch::Tensor& hidden, TokenCache* cache) {
    const torch::Tensor x = hidden + self_attn_->forward(input_layernorm_->forward(hidden), cache);
    return x + mlp_->forward(post_attention_layernorm_->forward(x));
  }

  std::int64_t cached_numbers_;
  std::shared_ptr<RmsNorm> input_layernorm_;
  std::shared_ptr<LlamaAttention> self_attn_;
  std::shared_ptr<RmsNorm> post_attention_layernorm_;
  std::shared_ptr<LlamaMlp> mlp_;
};

class LlamaHead : public model::LanguageHead {
 public:
  explicit LlamaHead(const ModelConfig& config) {
    norm_ = register_module("norm", std::make_shared<RmsNorm>(config.hidden, config.norm_epsilon));
    lm_head_ = register_module("lm_head", std::make_shared<Linear>(config.hidden, config.vocab, false));
  }

  torch::Tensor logits(const torch::Tensor& hidden) override { return lm_head_->forward(norm_->forward(hidden)); }

 private:
  std::shared_ptr<RmsNorm> norm_;
  std::shared_ptr<Linear> lm_head_;
};

double block_flops_per_token(const LlamaShape& shape, std::int64_t context) {
  const auto hidden = static_cast<double>(shape.hidden);
  const auto query = static_cast<double>(shape.heads * shape.head_dim);
  const auto key = static_cast<double>(shape.kv_heads * shape.head_dim);
  // Matrix products, and attention over half of a full context on average.
  return 2.0 * hidden * (2.0 * query + 2.0 * key + 3.0 * static_cast<double>(shape.intermediate)) +
         2.0 * query * static_cast<double>(context);
}

NameMap decoder_names(const LlamaShape& shape) {
  NameMap names;
  names.tensors = {{0, "embed_tokens.weight", "model.embed_tokens.weight"},
                   {1, "input_layernorm.weight", "model.layers.{}.input_layernorm.weight"},
                   {1, "self_attn.q_proj.weight", "model.layers.{}.self_attn.q_proj.weight"},
                   {1, "self_attn.k_proj.weight", "model.layers.{}.self_attn.k_proj.weight"},
                   {1, "self_attn.v_proj.weight", "model.layers.{}.self_attn.v_proj.weight"},
                   {1, "self_attn.o_proj.weight", "model.layers.{}.self_attn.o_proj.weight"},
                   {1, "post_attention_layernorm.weight", "model.layers.{}.post_attention_layernorm.weight"},
                   {1, "mlp.gate_proj.weight", "model.layers.{}.mlp.gate_proj.weight"},
                   {1, "mlp.up_proj.weight", "model.layers.{}.mlp.up_proj.weight"},
                   {1, "mlp.down_proj.weight", "model.layers.{}.mlp.down_proj.weight"},
                   {2, "norm.weight", "model.norm.weight"},
                   {2, "lm_head.weight", "lm_head.weight"}};
  const auto add = [&](bool wanted, const char* parameter) {
    if (wanted) names.tensors.push_back({1, parameter, std::string("model.layers.{}.") + parameter});
  };
  for (const char* bias : {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"}) add(shape.qkv_bias, bias);
  for (const char* norm : {"self_attn.q_norm.weight", "self_attn.k_norm.weight"}) add(shape.qk_norm, norm);
  names.base_prefix = "model.";
  names.ignored_endings = {".self_attn.rotary_emb.inv_freq"};
  return names;
}

Model decoder(const ModelConfig& config) {
  model::check_common(config);
  const LlamaShape shape = llama_shape(config);
  Model built = model::assemble(config,
                                {std::make_shared<LlamaEmbedding>(config), std::make_shared<LlamaBlock>(config, shape),
                                 std::make_shared<LlamaHead>(config), block_flops_per_token(shape, config.context)},
                                "embed_tokens.weight", "lm_head.weight");
  built.names = decoder_names(shape);
  built.initialize = [layers = config.layers, tied = config.tie_embeddings](torch::nn::Module& module, std::int64_t unit) {
    const bool skips_tied = tied && unit == layers + 1;
    model::initialize_parameters(module, model::kInitialStd, skips_tied ? "lm_head.weight" : "");
  };
  return built;
}

Model of_family(ModelFamily family, ModelConfig config) {
  config.family = family;
  return decoder(config);
}

}  // namespace

Model llama(const ModelConfig& config) { return of_family(ModelFamily::llama, config); }
Model mistral(const ModelConfig& config) { return of_family(ModelFamily::mistral, config); }
Model qwen2(const ModelConfig& config) { return of_family(ModelFamily::qwen2, config); }
Model qwen3(const ModelConfig& config) { return of_family(ModelFamily::qwen3, config); }

}  // namespace gsnake::models
