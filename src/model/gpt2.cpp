// GPT-2 (Radford et al., 2019), with the parameter names of Hugging Face's GPT2LMHeadModel. Linear weights are (out, in) here; Hugging
// Face's Conv1D stores their transpose.
#include <cmath>

#include "core/model_shape.h"
#include "greedysnake/models.h"
#include "model/families.h"
#include "model/layers.h"
#include "model/unit_context.h"

namespace gsnake::models {
namespace {

using model::CausalAttention;
using model::Embedding;
using model::LayerNorm;
using model::Linear;

class Gpt2Embedding : public EmbeddingUnit, public CachedUnit {
 public:
  explicit Gpt2Embedding(const ModelConfig& config) : dropout_(config.dropout) {
    wte_ = register_module("wte", std::make_shared<Embedding>(config.vocab, config.hidden));
    wpe_ = register_module("wpe", std::make_shared<Embedding>(config.context, config.hidden));
  }

  torch::Tensor forward(const torch::Tensor& ids) override {
    const bool packed = !model::unit_context().starts.empty();
    const torch::Tensor positions = packed ? model::document_positions(ids.size(0), ids.size(1), ids.device()) : torch::arange(ids.size(1), ids.options());
    return torch::dropout(wte_->forward(ids) + wpe_->forward(positions), dropout_, is_training());
  }
  torch::Tensor forward_cached(const torch::Tensor& ids, TokenCache& cache) override { return wte_->forward(ids) + wpe_->forward(cache.positions().unsqueeze(0)); }
  [[nodiscard]] std::int64_t cached_numbers() const override { return 0; }

 private:
  double dropout_;
  std::shared_ptr<Embedding> wte_;
  std::shared_ptr<Embedding> wpe_;
};

class Gpt2Attention : public torch::nn::Module {
 public:
  explicit Gpt2Attention(const ModelConfig& config) : heads_(config.heads), dropout_(config.dropout) {
    c_attn_ = register_module("c_attn", std::make_shared<Linear>(config.hidden, 3 * config.hidden, true));
    c_proj_ = register_module("c_proj", std::make_shared<Linear>(config.hidden, config.hidden, true));
  }

  // cache: null but where a text goes on.
  torch::Tensor forward(const torch::Tensor& x, TokenCache* cache) {
    const auto qkv = c_attn_->forward(x).view({x.size(0), x.size(1), 3, heads_, x.size(2) / heads_}).unbind(2);
    const torch::Tensor q = qkv[0].transpose(1, 2);
    const torch::Tensor k = qkv[1].transpose(1, 2);
    const torch::Tensor v = qkv[2].transpose(1, 2);
    return c_proj_->forward(cache == nullptr ? attention_.apply(q, k, v, is_training() ? dropout_ : 0.0) : cache->attend(q, k, v, /*window=*/0));
  }

 private:
  std::int64_t heads_;
  double dropout_;
  CausalAttention attention_;
  std::shared_ptr<Linear> c_attn_;
  std::shared_ptr<Linear> c_proj_;
};

class Gpt2Mlp : public torch::nn::Module {
 public:
  Gpt2Mlp(std::int64_t hidden, std::int64_t intermediate) {
    c_fc_ = register_module("c_fc", std::make_shared<Linear>(hidden, intermediate, true));
    c_proj_ = register_module("c_proj", std::make_shared<Linear>(intermediate, hidden, true));
  }

  torch::Tensor forward(const torch::Tensor& x) const { return c_proj_->forward(torch::gelu(c_fc_->forward(x), "tanh")); }

 private:
  std::shared_ptr<Linear> c_fc_;
  std::shared_ptr<Linear> c_proj_;
};

class Gpt2Block : public Unit, public CachedUnit {
 public:
  Gpt2Block(const ModelConfig& config, std::int64_t intermediate) : cached_numbers_(2 * config.hidden), dropout_(config.dropout) {
    ln_1_ = register_module("ln_1", std::make_shared<LayerNorm>(config.hidden, config.norm_epsilon));
    attn_ = register_module("attn", std::make_shared<Gpt2Attention>(config));
    ln_2_ = register_module("ln_2", std::make_shared<LayerNorm>(config.hidden, config.norm_epsilon));
    mlp_ = register_module("mlp", std::make_shared<Gpt2Mlp>(config.hidden, intermediate));
  }

  torch::Tensor forward(const torch::Tensor& hidden) override { return forward(hidden, nullptr); }
  torch::Tensor forward_cached(const torch::Tensor& hidden, TokenCache& cache) override { return forward(hidden, &cache); }
  [[nodiscard]] std::int64_t cached_numbers() const override { return cached_numbers_; }

 private:
  torch::Tensor forward(const torch::Tensor& hidden, TokenCache* cache) {
    const torch::Tensor x = hidden + torch::dropout(attn_->forward(ln_1_->forward(hidden), cache), dropout_, is_training());
    return x + torch::dropout(mlp_->forward(ln_2_->forward(x)), dropout_, is_training());
  }

  std::int64_t cached_numbers_;
  double dropout_;
  std::shared_ptr<LayerNorm> ln_1_;
  std::shared_ptr<Gpt2Attention> attn_;
  std::shared_ptr<LayerNorm> ln_2_;
  std::shared_ptr<Gpt2Mlp> mlp_;
};

class Gpt2Head : public model::LanguageHead {
 public:
  explicit Gpt2Head(const ModelConfig& config) {
    ln_f_ = register_module("ln_f", std::make_shared<LayerNorm>(config.hidden, config.norm_epsilon));
    lm_head_ = register_module("lm_head", std::make_shared<Linear>(config.hidden, config.vocab, false));
  }

  torch::Tensor logits(const torch::Tensor& hidden) override { return lm_head_->forward(ln_f_->forward(hidden)); }

 private:
  std::shared_ptr<LayerNorm> ln_f_;
  std::shared_ptr<Linear> lm_head_;
};

// GPT2LMHeadModel's Conv1D layers store (in, out).
NameMap gpt2_names() {
  NameMap names;
  names.tensors = {{0, "wte.weight", "transformer.wte.weight"},
                   {0, "wpe.weight", "transformer.wpe.weight"},
                   {1, "ln_1.weight", "transformer.h.{}.ln_1.weight"},
                   {1, "ln_1.bias", "transformer.h.{}.ln_1.bias"},
                   {1, "attn.c_attn.weight", "transformer.h.{}.attn.c_attn.weight", true},
                   {1, "attn.c_attn.bias", "transformer.h.{}.attn.c_attn.bias"},
                   {1, "attn.c_proj.weight", "transformer.h.{}.attn.c_proj.weight", true},
                   {1, "attn.c_proj.bias", "transformer.h.{}.attn.c_proj.bias"},
                   {1, "ln_2.weight", "transformer.h.{}.ln_2.weight"},
                   {1, "ln_2.bias", "transformer.h.{}.ln_2.bias"},
                   {1, "mlp.c_fc.weight", "transformer.h.{}.mlp.c_fc.weight", true},
                   {1, "mlp.c_fc.bias", "transformer.h.{}.mlp.c_fc.bias"},
                   {1, "mlp.c_proj.weight", "transformer.h.{}.mlp.c_proj.weight", true},
                   {1, "mlp.c_proj.bias", "transformer.h.{}.mlp.c_proj.bias"},
                   {2, "ln_f.weight", "transformer.ln_f.weight"},
                   {2, "ln_f.bias", "transformer.ln_f.bias"},
                   {2, "lm_head.weight", "lm_head.weight"}};
  names.base_prefix = "transformer.";
  names.ignored_endings = {".attn.bias", ".attn.masked_bias"};
  return names;
}

void initialize_block(torch::nn::Module& block, std::int64_t layers) {
  model::initialize_parameters(block, model::kInitialStd);
  // Two residual additions a block: the sum over the depth keeps its scale.
  const double residual_scale = 1.0 / std::sqrt(2.0 * static_cast<double>(layers));
  const torch::NoGradGuard no_grad;
  for (auto& item : block.named_parameters()) {
    if (item.key().ends_with("c_proj.weight")) item.value().mul_(residual_scale);
  }
}

}  // namespace

Model gpt2(const ModelConfig& config) {
  model::check_common(config);
  if (config.kv_heads != 0 && config.kv_heads != config.heads) {
    model::refuse("kv_heads", std::to_string(config.kv_heads), "gpt2 has as many as heads; leave it out or use family \"llama\"");
  }
  if (config.head_dim != 0 && config.head_dim * config.heads != config.hidden) {
    model::refuse("head_dim", std::to_string(config.head_dim), "must be hidden / heads in gpt2; leave it out");
  }
  const std::int64_t intermediate = core::spelt_out(config).intermediate;
  // Matrix products, and attention over half of a full context on average.
  const auto hidden = static_cast<double>(config.hidden);
  const double flops =
      2.0 * hidden * (4.0 * hidden + 2.0 * static_cast<double>(intermediate)) + 2.0 * hidden * static_cast<double>(config.context);
  Model built = model::assemble(config,
                                {std::make_shared<Gpt2Embedding>(config), std::make_shared<Gpt2Block>(config, intermediate),
                                 std::make_shared<Gpt2Head>(config), flops},
                                "wte.weight", "lm_head.weight");
  built.names = gpt2_names();
  built.initialize = [layers = config.layers, tied = config.tie_embeddings](torch::nn::Module& module, std::int64_t unit) {
    const bool is_head = unit == layers + 1;
    if (unit == 0 || is_head) {
      model::initialize_parameters(module, model::kInitialStd, is_head && tied ? "lm_head.weight" : "");
    } else {
      initialize_block(module, layers);
    }
  };
  return built;
}

}  // namespace gsnake::models
