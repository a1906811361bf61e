#include "reference/plain_model.h"

#include <cmath>
#include <limits>

namespace gsnake::reference {
namespace {

// q (rows, heads, tokens, d), k and v with as many heads.
torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
  const std::int64_t tokens = q.size(2);
  const torch::Tensor future = torch::ones({tokens, tokens}, torch::kBool).triu(1);
  const torch::Tensor scores = torch::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(q.size(3)));
  const torch::Tensor weights = torch::softmax(scores.masked_fill(future, -std::numeric_limits<float>::infinity()), -1);
  return torch::matmul(weights, v).transpose(1, 2).flatten(2);
}

torch::Tensor heads_first(const torch::Tensor& x, std::int64_t heads) {
  return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

torch::Tensor project(const torch::Tensor& x, const torch::Tensor& weight) { return torch::matmul(x, weight.t()); }

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, double epsilon) {
  const torch::Tensor centred = x - x.mean(-1, true);
  return centred / torch::sqrt(centred.pow(2).mean(-1, true) + epsilon) * weight + bias;
}

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) {
  return x / torch::sqrt(x.pow(2).mean(-1, true) + epsilon) * weight;
}

torch::Tensor gelu_tanh(const torch::Tensor& x) { return 0.5 * x * (1.0 + torch::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x.pow(3)))); }

// As complex numbers: (x_i, x_{i + d/2}) turned by position * theta^(-2i/d).
torch::Tensor rotate(const torch::Tensor& x, double theta) {
  const std::int64_t half = x.size(3) / 2;
  const torch::Tensor frequency = torch::pow(theta, -torch::arange(half, torch::kFloat64) / static_cast<double>(half));
  const torch::Tensor angle = torch::outer(torch::arange(x.size(2), torch::kFloat64), frequency);
  const torch::Tensor turn = torch::polar(torch::ones_like(angle), angle).to(torch::kComplexFloat);
  const torch::Tensor turned = torch::complex(x.slice(3, 0, half).contiguous(), x.slice(3, half).contiguous()) * turn;
  return torch::cat({torch::real(turned), torch::imag(turned)}, -1);
}

}  // namespace

PlainModel::PlainModel(const ModelConfig& config, const std::map<std::string, torch::Tensor>& weights, const PlainOptimizer& optimizer)
    : config_(config),
      options_(optimizer),
      loss_scale_(torch::full({1}, optimizer.dtype == torch::kHalf ? optimizer.loss_scale : 1.0F)),
      good_steps_(torch::zeros({1}, torch::kInt32)) {
  std::vector<torch::Tensor> decaying;
  std::vector<torch::Tensor> others;
  for (const auto& [name, value] : weights) {
    const torch::Tensor parameter = value.detach().clone().requires_grad_();
    parameters_[name] = parameter;
    (parameter.dim() >= 2 ? decaying : others).push_back(parameter);
  }
  torch::optim::AdamWOptions options(optimizer.learning_rate);
  options.betas({optimizer.beta1, optimizer.beta2}).eps(optimizer.epsilon).weight_decay(optimizer.weight_decay);
  torch::optim::AdamWOptions without_decay = options;
  without_decay.weight_decay(0.0);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decaying, std::make_unique<torch::optim::AdamWOptions>(options));
  groups.emplace_back(others, std::make_unique<torch::optim::AdamWOptions>(without_decay));
  optimizer_ = std::make_unique<torch::optim::AdamW>(groups, options);
}

// The gradient goes straight through the rounding. w + (rounded - w) is exactly what was rounded to.
torch::Tensor PlainModel::p(std::int64_t unit, const std::string& name) const {
  const torch::Tensor& parameter = parameters_.at(std::to_string(unit) + "." + name);
  if (options_.dtype == torch::kFloat32) return parameter;
  const torch::Tensor fixed = parameter.detach();
  return parameter + (fixed.to(options_.dtype).to(torch::kFloat32) - fixed);
}

// Both conversions have a backward, which rounds the gradient as well.
torch::Tensor PlainModel::between_units(const torch::Tensor& x) const { return x.to(options_.dtype).to(torch::kFloat32); }

torch::Tensor PlainModel::gpt2_hidden(const torch::Tensor& ids) const {
  const double epsilon = config_.norm_epsilon;
  torch::Tensor x = between_units(p(0, "wte.weight").index({ids}) + p(0, "wpe.weight").slice(0, 0, ids.size(1)));
  for (std::int64_t u = 1; u <= config_.layers; ++u) {
    const torch::Tensor normed = layer_norm(x, p(u, "ln_1.weight"), p(u, "ln_1.bias"), epsilon);
    const auto qkv = (project(normed, p(u, "attn.c_attn.weight")) + p(u, "attn.c_attn.bias")).split(config_.hidden, 2);
    const torch::Tensor attended =
        attention(heads_first(qkv[0], config_.heads), heads_first(qkv[1], config_.heads), heads_first(qkv[2], config_.heads));
    x = x + project(attended, p(u, "attn.c_proj.weight")) + p(u, "attn.c_proj.bias");
    const torch::Tensor second = layer_norm(x, p(u, "ln_2.weight"), p(u, "ln_2.bias"), epsilon);
    const torch::Tensor inner = gelu_tanh(project(second, p(u, "mlp.c_fc.weight")) + p(u, "mlp.c_fc.bias"));
    x = between_units(x + project(inner, p(u, "mlp.c_proj.weight")) + p(u, "mlp.c_proj.bias"));
  }
  return layer_norm(x, p(config_.layers + 1, "ln_f.weight"), p(config_.layers + 1, "ln_f.bias"), epsilon);
}

torch::Tensor PlainModel::llama_attention(std::int64_t u, const torch::Tensor& x) const {
  const std::int64_t group = config_.heads / config_.kv_heads;
  const torch::Tensor q = rotate(heads_first(project(x, p(u, "self_attn.q_proj.weight")), config_.heads), config_.rope_theta);
  const torch::Tensor k = rotate(heads_first(project(x, p(u, "self_attn.k_proj.weight")), config_.kv_heads), config_.rope_theta);
  const torch::Tensor v = heads_first(project(x, p(u, "self_attn.v_proj.weight")), config_.kv_heads);
  // Query head i uses key head i / group.
  const torch::Tensor of_query = torch::arange(config_.heads).floor_divide(group);
  return project(attention(q, k.index_select(1, of_query), v.index_select(1, of_query)), p(u, "self_attn.o_proj.weight"));
}

torch::Tensor PlainModel::llama_hidden(const torch::Tensor& ids) const {
  const double epsilon = config_.norm_epsilon;
  torch::Tensor x = between_units(p(0, "embed_tokens.weight").index({ids}));
  for (std::int64_t u = 1; u <= config_.layers; ++u) {
    x = x + llama_attention(u, rms_norm(x, p(u, "input_layernorm.weight"), epsilon));
    const torch::Tensor normed = rms_norm(x, p(u, "post_attention_layernorm.weight"), epsilon);
    const torch::Tensor gate = project(normed, p(u, "mlp.gate_proj.weight"));
    x = between_units(x + project(gate * torch::sigmoid(gate) * project(normed, p(u, "mlp.up_proj.weight")), p(u, "mlp.down_proj.weight")));
  }
  return rms_norm(x, p(config_.layers + 1, "norm.weight"), epsilon);
}

torch::Tensor PlainModel::logits(const torch::Tensor& ids) const {
  const bool is_gpt2 = config_.family == ModelFamily::gpt2;
  const torch::Tensor hidden = is_gpt2 ? gpt2_hidden(ids) : llama_hidden(ids);
  const torch::Tensor output = !config_.tie_embeddings ? p(config_.layers + 1, "lm_head.weight")
                               : is_gpt2               ? p(0, "wte.weight")
                                                       : p(0, "embed_tokens.weight");
  return project(hidden, output);
}

// As GradScaler.unscale_() and update(). Whether all gradients were finite.
bool PlainModel::unscale(const std::vector<torch::Tensor>& parameters) {
  if (options_.dtype != torch::kHalf) return true;
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : parameters) gradients.push_back(parameter.grad());
  torch::Tensor found_inf = torch::zeros({1});
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, loss_scale_.reciprocal());
  at::_amp_update_scale_(loss_scale_, good_steps_, found_inf, 2.0, 0.5, options_.growth_interval);
  return found_inf.item<float>() == 0.0F;
}

PlainStep PlainModel::step(const std::vector<std::pair<torch::Tensor, torch::Tensor>>& micro_batches, double learning_rate) {
  optimizer_->zero_grad();
  std::vector<torch::Tensor> ids;
  std::vector<torch::Tensor> labels;
  for (const auto& [batch_ids, batch_labels] : micro_batches) {
    ids.push_back(batch_ids);
    labels.push_back(batch_labels.flatten());
  }
  const torch::Tensor loss = torch::cross_entropy_loss(logits(torch::cat(ids)).flatten(0, 1), torch::cat(labels));
  PlainStep result;
  result.loss = loss.item<double>();
  result.loss_scale = loss_scale_.item<float>();
  (loss * loss_scale_).backward();
  std::vector<torch::Tensor> parameters;
  for (const auto& [name, parameter] : parameters_) parameters.push_back(parameter);
  result.skipped = !unscale(parameters);
  if (result.skipped) return result;
  if (options_.gradient_clipping > 0.0) result.grad_norm = torch::nn::utils::clip_grad_norm_(parameters, options_.gradient_clipping);
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  optimizer_->step();
  return result;
}

}  // namespace gsnake::reference
