// Modules bound to flat vectors, as the runtime binds them to slots.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/seeding.h"

namespace gsnake::test {

inline ModelConfig small_gpt2(double dropout = 0.0) {
  ModelConfig config;
  config.layers = 2;
  config.hidden = 48;
  config.heads = 4;
  config.vocab = 101;
  config.context = 24;
  config.dropout = dropout;
  return config;
}

inline ModelConfig small_llama(std::int64_t kv_heads = 2) {
  ModelConfig config = small_gpt2();
  config.family = ModelFamily::llama;
  config.kv_heads = kv_heads;
  config.intermediate = 80;
  config.tie_embeddings = false;
  return config;
}

// One unit with weights and gradients of its own. Binding leaves the module's mode alone.
class BoundUnit {
 public:
  BoundUnit(std::shared_ptr<torch::nn::Module> module, bool decay_1d = false)
      : module_(std::move(module)), layout_(optim::make_flat_layout(model::parameters_of(*module_), decay_1d)) {
    weights_ = torch::zeros(static_cast<std::int64_t>(layout_.elements));
    gradients_ = torch::zeros_like(weights_);
  }

  // Every parameter drawn from a normal distribution, so that nothing is hidden by a zero or a one.
  void fill(std::uint64_t seed, double std = 0.2) {
    model::seed_unit(seed, 0, 0, 0);
    for (const torch::Tensor& view : weight_views()) view.normal_(0.0, std);
  }

  void bind() {
    model::bind_parameters(*module_, weight_views());
    model::set_gradients(*module_, gradient_views());
  }

  [[nodiscard]] std::vector<torch::Tensor> weight_views() const { return model::views(weights_.data_ptr<float>(), layout_); }
  [[nodiscard]] std::vector<torch::Tensor> gradient_views() const { return model::views(gradients_.data_ptr<float>(), layout_); }
  [[nodiscard]] torch::nn::Module& module() const { return *module_; }
  [[nodiscard]] const optim::FlatLayout& layout() const { return layout_; }
  [[nodiscard]] const torch::Tensor& weights() const { return weights_; }
  [[nodiscard]] const torch::Tensor& gradients() const { return gradients_; }

 private:
  std::shared_ptr<torch::nn::Module> module_;
  optim::FlatLayout layout_;
  torch::Tensor weights_;
  torch::Tensor gradients_;
};

}  // namespace gsnake::test
