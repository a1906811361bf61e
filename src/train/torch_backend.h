// The compute lane's tasks with LibTorch: parameters rebound to slots, gradients accumulated in place.
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "runtime/compute.h"
#include "train/model_layout.h"
#include "train/torch_memory.h"

namespace gsnake::train {

// Shapes of one run; part of the maths.
struct ComputeShape {
  std::int64_t rows = 1;    // a micro-batch
  std::int64_t tokens = 1;  // a row
  std::int64_t head_chunk = 256;
  std::uint64_t seed = 1;
};

// CPU, fp32. Model and layout are borrowed. Tensors over a slot are made at its first use.
class TorchBackend final : public runtime::ComputeBackend {
 public:
  TorchBackend(Model& model, const ModelLayout& layout, const ComputeShape& shape);

  void run(const runtime::ComputeCall& call, runtime::StepBatch& batch) override;

  // Sampling: head_forward gives the head's input (rows, tokens, hidden) and the head to `sink` and computes no loss.
  using HeadSink = std::function<void(HeadUnit& head, const torch::Tensor& hidden)>;
  void set_head_sink(HeadSink sink) { head_sink_ = std::move(sink); }
  void set_tokens(std::int64_t tokens) { shape_.tokens = tokens; }

  // Runs every kind of unit once, forward and (training) backward, on memory of its own, and measures the most bytes that LibTorch's
  // temporaries take. Returns `margin` times that and `slack_bytes`, which is the cap from then on: beyond it run() throws Error(budget).
  std::uint64_t rehearse(bool training, double margin, std::uint64_t slack_bytes);

 private:
  struct Views {
    std::vector<torch::Tensor> parameters;
    torch::Tensor flat;
  };

  torch::nn::Module& module_of(int unit) { return *model_.kinds[static_cast<std::size_t>(model_.units[static_cast<std::size_t>(unit)])].module; }
  model::ParameterSet& parameters_of(int unit) { return parameters_[static_cast<std::size_t>(model_.units[static_cast<std::size_t>(unit)])]; }
  Views& views(int unit, std::byte* base);
  torch::Tensor& tied_view(std::byte* base);
  torch::Tensor hidden(std::byte* data) const;
  torch::Tensor ids(const std::int64_t* data, int micro_batch) const;
  void bind(const runtime::ComputeCall& call);
  void forward(const runtime::ComputeCall& call, const runtime::StepBatch& batch);
  void backward(const runtime::ComputeCall& call, const runtime::StepBatch& batch);
  void head(const runtime::ComputeCall& call, runtime::StepBatch& batch);

  Model& model_;
  const ModelLayout& layout_;
  ComputeShape shape_;
  HeadSink head_sink_;
  TorchMemoryMeter meter_;
  std::vector<model::ParameterSet> parameters_;                // by kind
  std::map<std::pair<int, std::byte*>, Views> views_;          // by kind (tied head: its own) and slot
  std::map<std::byte*, torch::Tensor> tied_views_;
};

}  // namespace gsnake::train
