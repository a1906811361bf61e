// GPT-2 and Llama written once more, as whole models in plain torch operations with explicit attention, trained by torch::optim::AdamW:
// agrees with the product to rounding, and shares no code with it. Dropout is not modelled.
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
  double weight_decay = 0.1;  // on tensors of two dimensions and more
};

class PlainModel {
 public:
  // `weights`: initial values by the names of the product's parameters with the unit's number in front: "0.wte.weight",
  // "1.attn.c_attn.weight", ...; copied. A tied head has no entry for the shared weight. `config` with defaults filled in (kv_heads,
  // intermediate).
  PlainModel(const ModelConfig& config, const std::map<std::string, torch::Tensor>& weights, const PlainOptimizer& optimizer);

  // One update over micro-batches, each a pair (ids, labels) of (rows, tokens) int64, in one graph. Returns the mean loss over all labels.
  double step(const std::vector<std::pair<torch::Tensor, torch::Tensor>>& micro_batches, double learning_rate);

  [[nodiscard]] const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }

 private:
  const torch::Tensor& p(std::int64_t unit, const std::string& name) const;
  torch::Tensor gpt2_hidden(const torch::Tensor& ids) const;
  torch::Tensor llama_hidden(const torch::Tensor& ids) const;
  torch::Tensor llama_attention(std::int64_t unit, const torch::Tensor& x) const;
  torch::Tensor logits(const torch::Tensor& ids) const;

  ModelConfig config_;
  std::map<std::string, torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

}  // namespace gsnake::reference
