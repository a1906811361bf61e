// A small tied GPT-2 whose objects, gradients and hidden states lie in slots of plain memory, as the runtime gives them to the backend.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/layout.h"
#include "model/seeding.h"
#include "schedule/problem.h"
#include "torch/backend.h"

namespace gsnake::test {

inline constexpr std::int64_t kRows = 2;
inline constexpr std::int64_t kTokens = 17;
inline constexpr std::int64_t kHidden = 48;
inline constexpr std::int64_t kVocab = 101;
inline constexpr int kHead = 3;

inline ModelConfig backend_model(double dropout = 0.1) {
  ModelConfig config;
  config.layers = 2;
  config.hidden = kHidden;
  config.heads = 4;
  config.vocab = kVocab;
  config.context = 24;
  config.dropout = dropout;
  return config;
}

struct Dtypes {
  at::ScalarType storage = torch::kFloat32;
  at::ScalarType compute = torch::kFloat32;
};

// A tensor's memory as a place on the CPU device.
inline device::DevicePtr bytes_of(const torch::Tensor& tensor) { return device::DevicePtr(static_cast<std::byte*>(tensor.data_ptr())); }

// Slots and the calls on them. Weights are normal numbers, so that nothing is hidden by a zero or a one.
class Slots {
 public:
  explicit Slots(const Dtypes& dtypes, double dropout = 0.1)
      : dtypes_(dtypes),
        model_(models::make(backend_model(dropout))),
        layout_(model::layout_of(model_, false)),
        backend_(model_, layout_, {.rows = kRows, .tokens = kTokens, .head_chunk = 7, .seed = 1, .storage = dtypes.storage, .compute = dtypes.compute}) {
    torch::set_num_threads(1);
    for (std::size_t unit = 0; unit < layout_.units.size(); ++unit) {
      model::seed_unit(3, unit, 0, 0);
      const auto size = static_cast<std::int64_t>(schedule::padded_elements(layout_.flat(unit).elements));
      weights.push_back((torch::randn({size}) * 0.1).to(dtypes.storage));
      gradients.push_back(torch::zeros({size}));
    }
    tied_gradients = torch::zeros_like(gradients.front());
    model::seed_unit(4, 0, 0, 0);
    inputs = torch::randint(kVocab, {2, kRows, kTokens}, torch::kInt64);
    labels = torch::randint(kVocab, {2, kRows, kTokens}, torch::kInt64);
  }

  [[nodiscard]] torch::Tensor hidden(std::uint64_t seed, double scale = 1.0) const {
    model::seed_unit(seed, 9, 9, 9);
    return (torch::randn({kRows, kTokens, kHidden}) * scale).to(dtypes_.storage);
  }

  torch::Tensor forward(int unit, const torch::Tensor& input, int micro_batch, bool opens, bool kept = false) {
    torch::Tensor output = torch::empty({kRows, kTokens, kHidden}, dtypes_.storage);
    runtime::ComputeCall call = call_of(schedule::Op::forward, unit, micro_batch, opens);
    call.kept = kept;
    call.input = input.defined() ? bytes_of(input) : device::DevicePtr();
    call.output = bytes_of(output);
    run(call);
    return output;
  }

  // The gradient of the input. Weight gradients are added to what `gradients` holds. Without an input: of what a forward pass kept, or of unit 0.
  torch::Tensor backward(int unit, const torch::Tensor& input, const torch::Tensor& output_gradient, int micro_batch, bool opens) {
    torch::Tensor gradient = torch::empty({kRows, kTokens, kHidden}, dtypes_.storage);
    runtime::ComputeCall call = call_of(schedule::Op::backward, unit, micro_batch, opens);
    uses_[0].gradients = bytes_of(gradients[static_cast<std::size_t>(unit)]);
    call.kept = unit > 0 && !input.defined();
    call.input = input.defined() ? bytes_of(input) : device::DevicePtr();
    call.output_gradient = bytes_of(output_gradient);
    call.output = unit == 0 ? device::DevicePtr() : bytes_of(gradient);
    run(call);
    return gradient;
  }

  torch::Tensor head(const torch::Tensor& input, int micro_batch, bool opens, float loss_scale = 1.0F) {
    torch::Tensor gradient = torch::empty({kRows, kTokens, kHidden}, dtypes_.storage);
    runtime::ComputeCall call = call_of(schedule::Op::head, kHead, micro_batch, opens);
    uses_[0].gradients = bytes_of(gradients[kHead]);
    uses_[1].gradients = bytes_of(tied_gradients);
    call.input = bytes_of(input);
    call.output = bytes_of(gradient);
    call.loss_scale = loss_scale;
    call.ids = bytes_of(labels[micro_batch]);
    call.loss = device::DevicePtr(reinterpret_cast<std::byte*>(&losses[static_cast<std::size_t>(micro_batch)]));
    run(call);
    return gradient;
  }

  backend::TorchBackend& backend() { return backend_; }
  device::Device& device() { return *device_; }
  Model& model() { return model_; }
  [[nodiscard]] const plan::ModelLayout& layout() const { return layout_; }

  std::vector<torch::Tensor> weights;    // of each unit, flat, in the storage dtype
  std::vector<torch::Tensor> gradients;  // likewise, fp32
  torch::Tensor tied_gradients;
  torch::Tensor inputs;  // (micro-batches, rows, tokens)
  torch::Tensor labels;
  float loss_factor = 1.0F / static_cast<float>(2 * kRows * kTokens);
  std::vector<double> losses = std::vector<double>(2);  // by micro-batch

 private:
  void run(const runtime::ComputeCall& call) {
    device_->stream(device::StreamKind::compute).compute([&](const device::ComputeScope& scope) { backend_.run(scope, call); });
  }

  runtime::ComputeCall call_of(schedule::Op op, int unit, int micro_batch, bool opens) {
    uses_.clear();
    for (int object : layout_.objects_of(unit)) uses_.push_back({object, bytes_of(weights[static_cast<std::size_t>(object)])});
    runtime::ComputeCall call;
    call.op = op;
    call.unit = unit;
    call.micro_batch = micro_batch;
    call.uses = uses_;
    call.opens = opens;
    call.step = 1;
    call.loss_factor = loss_factor;
    if (unit == 0) call.ids = bytes_of(inputs[micro_batch]);
    return call;
  }

  const std::unique_ptr<device::Device> device_ = device::make_cpu_device();
  std::vector<runtime::UsedObject> uses_;  // of the last call
  Dtypes dtypes_;
  Model model_;
  plan::ModelLayout layout_;
  backend::TorchBackend backend_;
};

}  // namespace gsnake::test
