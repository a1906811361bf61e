// GPT-2 and Llama written once more, as whole models in plain torch operations with explicit attention, trained by torch::optim::AdamW,
// torch::nn::utils::clip_grad_norm_ and the operations that torch.amp.GradScaler calls: agrees with the product to rounding, and shares no
// code with it. Dropout is not modelled.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/model_config.h"

namespace gsnake::reference {

struct PlainOptimizer {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;       // on tensors of two dimensions and more
  double gradient_clipping = 0.0;  // 0: off
  // bf16 and fp16: parameters stay fp32 and are rounded where they are used, hidden states and their gradients between units. fp16: the
  // loss is scaled, dynamically.
  at::ScalarType dtype = torch::kFloat32;
  float loss_scale = 65536.0F;
  std::int64_t growth_interval = 2000;
};

struct PlainStep {
  double loss = 0.0;       // mean over all labels
  double grad_norm = 0.0;  // before clipping; 0 without
  float loss_scale = 1.0F;
  bool skipped = false;
};

class PlainModel {
 public:
  // `weights`: initial values by the names of the product's parameters with the unit's number in front: "0.wte.weight",
  // "1.attn.c_attn.weight", ...; copied. A tied head has no entry for the shared weight. `config` with defaults filled in (kv_heads,
  // intermediate).
  PlainModel(const ModelConfig& config, const std::map<std::string, torch::Tensor>& weights, const PlainOptimizer& optimizer);

  // One update over micro-batches, each a pair (ids, labels) of (rows, tokens) int64, in one graph.
  PlainStep step(const std::vector<std::pair<torch::Tensor, torch::Tensor>>& micro_batches, double learning_rate);

  [[nodiscard]] const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }

 private:
  torch::Tensor p(std::int64_t unit, const std::string& name) const;
  [[nodiscard]] torch::Tensor between_units(const torch::Tensor& x) const;
  bool unscale(const std::vector<torch::Tensor>& parameters);
  torch::Tensor gpt2_hidden(const torch::Tensor& ids) const;
  torch::Tensor llama_hidden(const torch::Tensor& ids) const;
  torch::Tensor llama_attention(std::int64_t unit, const torch::Tensor& x) const;
  torch::Tensor logits(const torch::Tensor& ids) const;

  ModelConfig config_;
  PlainOptimizer options_;
  torch::Tensor loss_scale_;
  torch::Tensor good_steps_;
  std::map<std::string, torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

}  // namespace gsnake::reference
