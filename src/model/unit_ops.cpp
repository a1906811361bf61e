#include "model/unit_ops.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "greedysnake/error.h"
#include "model/fused.h"
#include "model/layers.h"
#include "model/unit_context.h"

namespace gsnake::model {
namespace {

torch::Tensor run(torch::nn::Module& module, const torch::Tensor& input) {
  if (TokenCache* cache = unit_context().cache) return dynamic_cast<CachedUnit&>(module).forward_cached(input, *cache);
  if (auto* unit = dynamic_cast<Unit*>(&module)) return unit->forward(input);
  if (auto* embedding = dynamic_cast<EmbeddingUnit*>(&module)) return embedding->forward(input);
  throw Error(ErrorKind::usage, "unit '" + module.name() + "' is neither an EmbeddingUnit nor a Unit; derive the module from one of them");
}

void check_same_sizes(const torch::nn::Module& module, const char* what, const torch::Tensor& expected, const torch::Tensor& actual) {
  if (expected.sizes() == actual.sizes()) return;
  std::ostringstream message;
  message << "unit '" << module.name() << "': " << what << " is " << actual.sizes() << ", must be " << expected.sizes()
          << "; a unit keeps (rows, tokens, hidden)";
  throw Error(ErrorKind::usage, message.str());
}

void check_head_input(const HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass) {
  if (hidden.dim() == 3 && labels.dim() == 2 && hidden.size(0) == labels.size(0) && hidden.size(1) == labels.size(1) &&
      pass.chunk_tokens > 0) {
    return;
  }
  std::ostringstream message;
  message << "head '" << head.name() << "': hidden states " << hidden.sizes() << ", labels " << labels.sizes() << ", chunks of "
          << pass.chunk_tokens << " tokens; give (rows, tokens, hidden), (rows, tokens) and at least one token";
  throw Error(ErrorKind::usage, message.str());
}

// Calls body(first, count) for each chunk of `tokens` token rows.
template <typename Body>
void for_each_chunk(std::int64_t tokens, std::int64_t chunk_tokens, Body&& body) {
  for (std::int64_t first = 0; first < tokens; first += chunk_tokens) body(first, std::min(chunk_tokens, tokens - first));
}

const FusedOps* fused_loss(const HeadUnit& head, const torch::Tensor& hidden) {
  return dynamic_cast<const LanguageHead*>(&head) != nullptr ? fused_ops(hidden) : nullptr;
}

}  // namespace

void forward(torch::nn::Module& module, const torch::Tensor& input, torch::Tensor& output, at::ScalarType compute) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor result = run(module, input.is_floating_point() ? input.to(compute) : input);
  check_same_sizes(module, "the output", output, result);
  output.copy_(result);
}

Activations forward_and_keep(Unit& unit, const torch::Tensor& input, torch::Tensor& output, at::ScalarType compute) {
  const torch::AutoGradMode with_grad(true);
  Activations kept;
  kept.input = input.detach().to(compute, /*non_blocking=*/false, /*copy=*/true).requires_grad_(true);
  kept.output = run(unit, kept.input);
  check_same_sizes(unit, "the output", output, kept.output);
  const torch::NoGradGuard no_grad;
  output.copy_(kept.output);
  return kept;
}

void backward(Activations kept, const torch::Tensor& grad_output, torch::Tensor* grad_input, at::ScalarType compute) {
  torch::autograd::backward({kept.output}, {grad_output.to(compute)});
  if (grad_input == nullptr) return;
  const torch::NoGradGuard no_grad;
  grad_input->copy_(kept.input.grad());
}

void backward(torch::nn::Module& module, const torch::Tensor& input, const torch::Tensor& grad_output, torch::Tensor* grad_input,
              at::ScalarType compute) {
  const torch::AutoGradMode with_grad(true);
  const bool is_embedding = dynamic_cast<EmbeddingUnit*>(&module) != nullptr;
  if (is_embedding && grad_input != nullptr) {
    throw Error(ErrorKind::usage, "unit '" + module.name() + "': an embedding's backward has no input gradient; pass none");
  }
  const torch::Tensor x = is_embedding ? input : input.detach().to(compute).requires_grad_(grad_input != nullptr);
  const torch::Tensor result = run(module, x);
  check_same_sizes(module, "the output", grad_output, result);
  backward(Activations{x, result}, grad_output, grad_input, compute);
}

void head_forward_backward(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass,
                           torch::Tensor* grad_hidden, torch::Tensor& loss) {
  check_head_input(head, hidden, labels, pass);
  const torch::AutoGradMode with_grad(true);
  if (grad_hidden != nullptr) check_same_sizes(head, "the gradient of the hidden states", hidden, *grad_hidden);
  const torch::Tensor flat = hidden.detach().view({-1, hidden.size(2)});
  const torch::Tensor flat_labels = labels.flatten();
  const torch::Tensor flat_gradient = grad_hidden == nullptr ? torch::Tensor() : grad_hidden->detach().view({-1, hidden.size(2)});
  const FusedOps* ops = fused_loss(head, hidden);
  loss.zero_();
  for_each_chunk(flat.size(0), pass.chunk_tokens, [&](std::int64_t first, std::int64_t count) {
    const torch::Tensor x = flat.narrow(0, first, count).to(pass.compute).detach().requires_grad_(grad_hidden != nullptr);
    const torch::Tensor chunk_labels = flat_labels.narrow(0, first, count);
    if (ops != nullptr) {
      const torch::Tensor logits = head.logits(x);
      torch::Tensor gradient = logits.detach();
      ops->head_loss(gradient, chunk_labels, pass.scale, pass.loss_scale, loss);
      torch::autograd::backward({logits}, {gradient});
    } else {
      const torch::Tensor part = head.loss_sum(x, chunk_labels) * pass.scale;
      part.backward(torch::full_like(part, pass.loss_scale));
      const torch::NoGradGuard no_grad;
      loss.add_(part);
    }
    const torch::NoGradGuard no_grad;
    if (grad_hidden != nullptr) flat_gradient.narrow(0, first, count).copy_(x.grad());
  });
}

void head_loss(HeadUnit& head, const torch::Tensor& hidden, const torch::Tensor& labels, const HeadPass& pass, torch::Tensor& loss) {
  check_head_input(head, hidden, labels, pass);
  const torch::NoGradGuard no_grad;
  const torch::Tensor flat = hidden.view({-1, hidden.size(2)});
  const torch::Tensor flat_labels = labels.flatten();
  const FusedOps* ops = fused_loss(head, hidden);
  loss.zero_();
  for_each_chunk(flat.size(0), pass.chunk_tokens, [&](std::int64_t first, std::int64_t count) {
    if (ops != nullptr) {
      torch::Tensor logits = head.logits(flat.narrow(0, first, count).to(pass.compute));
      return ops->head_loss(logits, flat_labels.narrow(0, first, count), pass.scale, 0.0F, loss);
    }
    loss.add_(head.loss_sum(flat.narrow(0, first, count).to(pass.compute), flat_labels.narrow(0, first, count)) * pass.scale);
  });
}

}  // namespace gsnake::model
