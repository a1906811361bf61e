#include "reference/reference_loop.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "model/seeding.h"
#include "reference/numbers.h"

namespace gsnake::reference {
namespace {

std::int64_t counted_tokens(std::span<const MicroBatch> micro_batches) {
  std::int64_t counted = 0;
  for (const MicroBatch& batch : micro_batches) counted += batch.labels.ne(kIgnoredLabel).sum().item<std::int64_t>();
  return counted;
}

// The slice of a flat vector that is one parameter, as a view with the parameter's sizes.
torch::Tensor slice(const torch::Tensor& flat, const optim::FlatParameter& parameter) {
  return flat.narrow(0, static_cast<std::int64_t>(parameter.offset), static_cast<std::int64_t>(parameter.info.numel))
      .view(parameter.info.sizes);
}

std::size_t index_of(const torch::nn::Module& module, const std::string& name) {
  const auto infos = model::parameters_of(module);
  const auto found = std::find_if(infos.begin(), infos.end(), [&](const auto& info) { return info.name == name; });
  if (found == infos.end()) throw std::invalid_argument("no parameter " + name);
  return static_cast<std::size_t>(found - infos.begin());
}

torch::Tensor run(torch::nn::Module& module, const torch::Tensor& input) {
  if (auto* embedding = dynamic_cast<EmbeddingUnit*>(&module)) return embedding->forward(input);
  return dynamic_cast<Unit&>(module).forward(input);
}

}  // namespace

ReferenceLoop::ReferenceLoop(Model model, const Options& options)
    : model_(std::move(model)), options_(options), loss_scale_(options.loss_scale) {
  const std::int64_t count = static_cast<std::int64_t>(model_.units.size());
  for (std::int64_t u = 0; u < count; ++u) {
    UnitState unit;
    unit.module = model_.kinds.at(static_cast<std::size_t>(model_.units[static_cast<std::size_t>(u)])).module.get();
    const bool is_tied_head = u == count - 1 && !model_.tied.empty();
    const auto excluded = is_tied_head ? model_.tied[0].head_name : std::string();
    unit.layout = optim::make_flat_layout(model::parameters_of(*unit.module), options_.decay_1d, excluded);
    unit.weights = torch::zeros(static_cast<std::int64_t>(unit.layout.elements));
    unit.compute_weights = unit.weights;  // units are initialized in fp32
    unit.gradients = torch::zeros_like(unit.weights);
    unit.moment1 = torch::zeros_like(unit.weights);
    unit.moment2 = torch::zeros_like(unit.weights);
    units_.push_back(std::move(unit));
  }
  if (!model_.tied.empty()) {
    // The embedding's layout leaves nothing out, so that entries and parameters have the same indices.
    tied_embedding_entry_ = index_of(*units_.front().module, model_.tied[0].embedding_name);
    tied_head_index_ = index_of(*units_.back().module, model_.tied[0].head_name);
    tied_head_gradient_ = torch::zeros(units_.front().layout.parameters[tied_embedding_entry_].info.sizes);
  }
  for (std::int64_t u = 0; u < count; ++u) {
    bind(u, false);
    model::seed_initialization(options_.seed, static_cast<std::uint64_t>(u));
    model_.initialize(*units_[static_cast<std::size_t>(u)].module, u);
  }
  round_weights();
}

float ReferenceLoop::loss_scale() const { return options_.dtype == torch::kHalf ? loss_scale_.value() : 1.0F; }

// The compute weights from their masters.
void ReferenceLoop::round_weights() {
  if (options_.dtype == torch::kFloat32) return;
  for (UnitState& unit : units_) {
    torch::Tensor rounded = unit.weights.to(options_.dtype);  // fp16: nearest, ties to even
    if (options_.dtype == torch::kBFloat16) {
      const float* master = unit.weights.data_ptr<float>();
      auto* stored = rounded.data_ptr<at::BFloat16>();
      for (std::int64_t i = 0; i < rounded.numel(); ++i) stored[i].x = compute_weight_bf16(master[i]);
    }
    if (!rounded.isfinite().all().item<bool>()) throw std::runtime_error("a compute weight is not finite");
    unit.compute_weights = rounded.to(options_.compute);
  }
}

torch::Tensor ReferenceLoop::to_compute(const torch::Tensor& input) const {
  return input.is_floating_point() ? input.to(options_.compute) : input;
}

void ReferenceLoop::bind(std::int64_t u, bool training) {
  const UnitState& unit = units_[static_cast<std::size_t>(u)];
  model::ParameterSet parameters(*unit.module);
  for (const optim::FlatParameter& parameter : unit.layout.parameters) {
    parameters.bind(parameter.index, slice(unit.compute_weights, parameter));
    parameters.set_gradient(parameter.index, training ? slice(unit.gradients, parameter) : torch::Tensor());
  }
  if (u == units() - 1 && !model_.tied.empty()) {
    const UnitState& embedding = units_.front();
    parameters.bind(tied_head_index_, slice(embedding.compute_weights, embedding.layout.parameters[tied_embedding_entry_]));
    parameters.set_gradient(tied_head_index_, training ? tied_head_gradient_ : torch::Tensor());
  }
  unit.module->train(training);
}

void ReferenceLoop::seed(const Pass& pass, std::int64_t unit, std::size_t micro_batch) const {
  if (!pass.training) return;
  model::seed_unit(options_.seed, static_cast<std::uint64_t>(step_), static_cast<std::uint64_t>(unit), micro_batch);
}

// The micro-batches in the order of the next visit of a unit.
std::vector<std::size_t> ReferenceLoop::visit(Pass& pass) const {
  std::vector<std::size_t> order(pass.micro_batches.size());
  std::iota(order.begin(), order.end(), 0);
  const bool is_descending = options_.order == Order::snake && pass.visits % 2 == 1;
  if (is_descending) std::reverse(order.begin(), order.end());
  ++pass.visits;
  return order;
}

ReferenceLoop::Pass ReferenceLoop::begin(std::span<const MicroBatch> micro_batches, bool training) const {
  Pass pass;
  pass.micro_batches = micro_batches;
  pass.training = training;
  pass.loss_scale = loss_scale();
  pass.scale = static_cast<float>(1.0 / static_cast<double>(counted_tokens(micro_batches)));
  pass.inputs.assign(units_.size(), std::vector<torch::Tensor>(micro_batches.size()));
  pass.grads.resize(micro_batches.size());
  pass.losses.resize(micro_batches.size());
  for (std::size_t m = 0; m < micro_batches.size(); ++m) pass.inputs[0][m] = micro_batches[m].ids;
  return pass;
}

void ReferenceLoop::forward(Pass& pass) {
  const torch::NoGradGuard no_grad;
  for (std::int64_t u = 0; u < units() - 1; ++u) {
    bind(u, pass.training);
    for (const std::size_t m : visit(pass)) {
      seed(pass, u, m);
      const auto index = static_cast<std::size_t>(u);
      pass.inputs[index + 1][m] = run(*units_[index].module, to_compute(pass.inputs[index][m])).to(options_.dtype);
    }
  }
}

double ReferenceLoop::head_micro_batch(Pass& pass, HeadUnit& head, std::size_t m) {
  const torch::AutoGradMode grad_mode(pass.training);
  const torch::Tensor hidden = pass.inputs.back()[m].flatten(0, 1);
  const torch::Tensor labels = pass.micro_batches[m].labels.flatten();
  std::vector<torch::Tensor> grads;
  double loss_sum = 0.0;
  for (std::int64_t first = 0; first < hidden.size(0); first += options_.head_chunk) {
    const std::int64_t last = std::min(first + options_.head_chunk, hidden.size(0));
    const torch::Tensor x = to_compute(hidden.slice(0, first, last)).detach().requires_grad_(pass.training);
    const torch::Tensor loss = head.loss_sum(x, labels.slice(0, first, last)) * pass.scale;
    loss_sum += loss.item<float>();
    if (!pass.training) continue;
    (loss * pass.loss_scale).backward();
    grads.push_back(x.grad());
  }
  if (pass.training) pass.grads[m] = torch::cat(grads).view(pass.inputs.back()[m].sizes()).to(options_.dtype);
  return loss_sum;
}

void ReferenceLoop::head(Pass& pass) {
  bind(units() - 1, pass.training);
  auto& module = dynamic_cast<HeadUnit&>(*units_.back().module);
  for (const std::size_t m : visit(pass)) {
    seed(pass, units() - 1, m);
    pass.losses[m] = head_micro_batch(pass, module, m);
  }
}

void ReferenceLoop::backward(Pass& pass) {
  for (std::int64_t u = units() - 2; u >= 0; --u) {
    bind(u, true);
    for (const std::size_t m : visit(pass)) {
      seed(pass, u, m);
      const auto index = static_cast<std::size_t>(u);
      const torch::Tensor x = u == 0 ? pass.inputs[0][m] : to_compute(pass.inputs[index][m]).detach().requires_grad_();
      run(*units_[index].module, x).backward(to_compute(pass.grads[m]));
      if (u > 0) pass.grads[m] = x.grad().to(options_.dtype);
    }
  }
}

// g = head's sum + embedding's sum, each over m.
void ReferenceLoop::merge_tied() {
  if (model_.tied.empty()) return;
  const UnitState& embedding = units_.front();
  slice(embedding.gradients, embedding.layout.parameters[tied_embedding_entry_]).add_(tied_head_gradient_);
}

// Of the gradients as they are, times the loss scale; a tied weight's once.
double ReferenceLoop::scaled_norm() const {
  double sum = 0.0;
  for (const UnitState& unit : units_) {
    add_squares({unit.gradients.data_ptr<float>(), static_cast<std::size_t>(unit.gradients.numel())}, sum);
  }
  return std::sqrt(sum);
}

float ReferenceLoop::gradient_factor(double norm, float loss_scale) const {
  const double limit = options_.gradient_clipping;
  const double clip = limit > 0.0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
  return static_cast<float>(clip / static_cast<double>(loss_scale));
}

void ReferenceLoop::update(const UpdateStep& step) {
  const UpdateOptions options{options_.rule, options_.hyper, options_.bf16_moments};
  for (UnitState& unit : units_) {
    for (const optim::FlatParameter& parameter : unit.layout.parameters) {
      const auto span = [&](const torch::Tensor& flat) {
        return std::span(flat.data_ptr<float>() + parameter.offset, parameter.info.numel);
      };
      update_loop(options, step, parameter.decays, {span(unit.weights), span(unit.moment1), span(unit.moment2), span(unit.gradients)});
    }
  }
  round_weights();
}

StepResult ReferenceLoop::step(std::span<const MicroBatch> micro_batches, double learning_rate) {
  ++step_;
  for (UnitState& unit : units_) unit.gradients.zero_();
  if (tied_head_gradient_.defined()) tied_head_gradient_.zero_();
  Pass pass = begin(micro_batches, true);
  forward(pass);
  head(pass);
  backward(pass);
  merge_tied();
  StepResult result;
  result.micro_batch_losses = pass.losses;
  result.loss = std::accumulate(pass.losses.begin(), pass.losses.end(), 0.0);
  result.loss_scale = pass.loss_scale;
  result.grad_norm = scaled_norm() / static_cast<double>(pass.loss_scale);
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
  if (result.skipped && options_.on_nonfinite == OnNonfinite::stop) throw std::runtime_error("the step is not finite");
  result.gradient_factor = result.skipped ? 0.0F : gradient_factor(result.grad_norm, pass.loss_scale);
  if (!result.skipped) update({learning_rate, ++updates_, result.gradient_factor});
  loss_scale_.record(!result.skipped);
  return result;
}

double ReferenceLoop::validation_loss(std::span<const MicroBatch> micro_batches) {
  Pass pass = begin(micro_batches, false);
  forward(pass);
  head(pass);
  return std::accumulate(pass.losses.begin(), pass.losses.end(), 0.0);
}

}  // namespace gsnake::reference
