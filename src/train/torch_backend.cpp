#include "train/torch_backend.h"

#include "model/seeding.h"
#include "model/unit_ops.h"
#include "schedule/problem.h"

namespace gsnake::train {

using schedule::Op;

TorchBackend::TorchBackend(Model& model, const ModelLayout& layout, const ComputeShape& shape) : model_(model), layout_(layout), shape_(shape) {
  for (const UnitKind& kind : model.kinds) parameters_.emplace_back(*kind.module);
}

TorchBackend::Views& TorchBackend::views(int unit, std::byte* base) {
  const auto key = std::pair(model_.units[static_cast<std::size_t>(unit)], base);
  const auto found = views_.find(key);
  if (found != views_.end()) return found->second;
  const model::FlatLayout& flat = layout_.units[static_cast<std::size_t>(unit)];
  auto* floats = reinterpret_cast<float*>(base);
  Views made{model::views(floats, flat), torch::from_blob(floats, {static_cast<std::int64_t>(schedule::padded_elements(flat.elements))})};
  return views_.emplace(key, std::move(made)).first->second;
}

torch::Tensor& TorchBackend::tied_view(std::byte* base) {
  const auto found = tied_views_.find(base);
  if (found != tied_views_.end()) return found->second;
  auto* floats = reinterpret_cast<float*>(base) + layout_.tied_offset;
  return tied_views_.emplace(base, torch::from_blob(floats, layout_.tied_sizes)).first->second;
}

torch::Tensor TorchBackend::hidden(std::byte* data) const {
  return torch::from_blob(data, {shape_.rows, shape_.tokens, model_.hidden}, torch::kFloat32);
}

torch::Tensor TorchBackend::ids(const std::int64_t* data, int micro_batch) const {
  const std::int64_t* first = data + micro_batch * shape_.rows * shape_.tokens;
  return torch::from_blob(const_cast<std::int64_t*>(first), {shape_.rows, shape_.tokens}, torch::kInt64);  // read only
}

void TorchBackend::bind(const runtime::ComputeCall& call) {
  model::ParameterSet& parameters = parameters_of(call.unit);
  const Views& weights = views(call.unit, call.weights);
  Views* gradients = call.gradients == nullptr ? nullptr : &views(call.unit, call.gradients);
  if (gradients != nullptr && call.first) gradients->flat.zero_();
  const model::FlatLayout& flat = layout_.units[static_cast<std::size_t>(call.unit)];
  for (std::size_t i = 0; i < flat.parameters.size(); ++i) {
    parameters.bind(flat.parameters[i].index, weights.parameters[i]);
    parameters.set_gradient(flat.parameters[i].index, gradients == nullptr ? torch::Tensor() : gradients->parameters[i]);
  }
  if (call.tied_weights == nullptr) return;
  parameters.bind(layout_.tied_head_index, tied_view(call.tied_weights));
  if (call.tied_gradients == nullptr) {
    parameters.set_gradient(layout_.tied_head_index, torch::Tensor());
    return;
  }
  if (call.tied_first) views(0, call.tied_gradients).flat.zero_();
  parameters.set_gradient(layout_.tied_head_index, tied_view(call.tied_gradients));
}

void TorchBackend::run(const runtime::ComputeCall& call, runtime::StepBatch& batch) {
  const MeteredScope metered(meter_);
  bind(call);
  module_of(call.unit).train(batch.training);
  if (batch.training) {
    model::seed_unit(shape_.seed, static_cast<std::uint64_t>(batch.step), static_cast<std::uint64_t>(call.unit), static_cast<std::uint64_t>(call.micro_batch));
  }
  if (call.op == Op::forward) {
    forward(call, batch);
  } else if (call.op == Op::backward) {
    backward(call, batch);
  } else {
    head(call, batch);
  }
}

void TorchBackend::forward(const runtime::ComputeCall& call, const runtime::StepBatch& batch) {
  torch::Tensor output = hidden(call.output);
  model::forward(module_of(call.unit), call.unit == 0 ? ids(batch.inputs, call.micro_batch) : hidden(call.input), output);
}

void TorchBackend::backward(const runtime::ComputeCall& call, const runtime::StepBatch& batch) {
  const torch::Tensor gradient = hidden(call.output_gradient);
  if (call.unit == 0) {
    model::backward(module_of(0), ids(batch.inputs, call.micro_batch), gradient, nullptr);
    return;
  }
  torch::Tensor input_gradient = hidden(call.output);
  model::backward(module_of(call.unit), hidden(call.input), gradient, &input_gradient);
}

void TorchBackend::head(const runtime::ComputeCall& call, runtime::StepBatch& batch) {
  auto& head = dynamic_cast<HeadUnit&>(module_of(call.unit));
  const torch::Tensor input = hidden(call.input);
  if (head_sink_) {
    head_sink_(head, input);
    return;
  }
  const model::HeadPass pass{batch.loss_factor, shape_.head_chunk};
  double& loss = batch.losses[static_cast<std::size_t>(call.micro_batch)];
  if (call.op == Op::head_forward) {
    loss = model::head_loss(head, input, ids(batch.labels, call.micro_batch), pass);
    return;
  }
  torch::Tensor input_gradient = hidden(call.output);
  loss = model::head_forward_backward(head, input, ids(batch.labels, call.micro_batch), pass, input_gradient);
}

std::uint64_t TorchBackend::rehearse(bool training, double margin, std::uint64_t slack_bytes) {
  std::vector<bool> seen(model_.kinds.size(), false);
  const auto floats = [](std::uint64_t count) { return torch::zeros({static_cast<std::int64_t>(count)}); };
  const auto data = [](torch::Tensor& tensor) { return tensor.defined() ? reinterpret_cast<std::byte*>(tensor.data_ptr<float>()) : nullptr; };
  const std::vector<std::int64_t> tokens(static_cast<std::size_t>(shape_.rows * shape_.tokens), 0);
  runtime::StepBatch batch;
  batch.training = training;
  batch.inputs = tokens.data();
  batch.labels = tokens.data();
  batch.losses.resize(1);
  const int last = static_cast<int>(model_.units.size()) - 1;
  for (int unit = 0; unit <= last; ++unit) {
    const auto kind = static_cast<std::size_t>(model_.units[static_cast<std::size_t>(unit)]);
    if (seen[kind]) continue;
    seen[kind] = true;
    const std::uint64_t own = schedule::padded_elements(layout_.units[static_cast<std::size_t>(unit)].elements);
    const std::uint64_t shared = unit == last && layout_.tied ? schedule::padded_elements(layout_.units.front().elements) : 0;
    const auto state = static_cast<std::uint64_t>(shape_.rows * shape_.tokens * model_.hidden);
    torch::Tensor memory[7] = {floats(own), shared > 0 ? floats(shared) : torch::Tensor(), training ? floats(own) : torch::Tensor(),
                               training && shared > 0 ? floats(shared) : torch::Tensor(), floats(state), floats(state), floats(state)};
    runtime::ComputeCall call{unit == last ? (training ? Op::head : Op::head_forward) : Op::forward, unit, 0, true, true, data(memory[0]), data(memory[1]),
                              data(memory[2]), data(memory[3]), data(memory[4]), data(memory[5]), data(memory[6])};
    run(call, batch);
    if (training && unit != last) {
      call.op = Op::backward;
      run(call, batch);
    }
    parameters_[kind].clear_gradients();
  }
  views_.clear();
  tied_views_.clear();
  meter_.cap_bytes = static_cast<std::int64_t>(static_cast<double>(meter_.peak_bytes) * margin) + static_cast<std::int64_t>(slack_bytes);
  return static_cast<std::uint64_t>(meter_.cap_bytes);
}

}  // namespace gsnake::train
