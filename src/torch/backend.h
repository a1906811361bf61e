// The compute lane's tasks with LibTorch: parameters rebound to slots, gradients accumulated in place.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "device/device.h"
#include "greedysnake/cached_unit.h"
#include "greedysnake/unit.h"
#include "memory/block_arena.h"
#include "model/binding.h"
#include "model/unit_ops.h"
#include "plan/model_layout.h"
#include "torch/device_support.h"
#include "torch/memory.h"
#include "torch/packed_weights.h"
#include "torch/unit_backend.h"
#include "torch/widened_weights.h"

namespace gsnake::backend {

class TrialCall;

// Shapes and dtypes of one run; part of the maths.
struct ComputeShape {
  std::int64_t rows = 1;    // a micro-batch
  std::int64_t passes = 1;  // of each row in the hidden states: 2 for preferences, the model's rows and then the reference's
  double dpo_beta = 0.1;    // for preferences
  bool packed = false;      // rows may hold several documents
  std::int64_t tokens = 1;  // a row
  std::int64_t head_chunk = 256;
  std::uint64_t seed = 1;
  at::ScalarType storage = torch::kFloat32;  // of weights, hidden states and their gradients in slots: fp32, bf16, fp16
  at::ScalarType compute = torch::kFloat32;  // of what modules run in: `storage`, or fp32 on widened weights (on the CPU alone)
  bool deterministic = true;                 // on a GPU
  DeviceSupport* accelerator = nullptr;      // what computes; null: the CPU. Borrowed
  std::uint64_t most_dequantised = 0;        // bytes that a unit's packed weights are dequantised into as a whole, at most
  bool wide_weights = false;                 // slots hold weights in the dtype that is computed in

  [[nodiscard]] at::ScalarType weights() const { return wide_weights ? compute : storage; }
  [[nodiscard]] c10::Device device() const { return accelerator == nullptr ? c10::Device(c10::kCPU) : accelerator->device(); }
};

// Slots hold weights, hidden states and hidden gradients in the storage dtype, weight gradients in fp32. Outputs and hidden
// gradients are rounded (to nearest, ties to even) where they enter a slot. Model and layout are borrowed. Tensors over a slot are made at
// its first use.
class TorchBackend final : public UnitBackend {
 public:
  TorchBackend(Model& model, const plan::ModelLayout& layout, const ComputeShape& shape);
  ~TorchBackend() override;  // modules live on without slots
  TorchBackend(const TorchBackend&) = delete;
  TorchBackend& operator=(const TorchBackend&) = delete;

  void run(const device::ComputeScope& scope, const runtime::ComputeCall& call) override;

  // Generation and evaluation: head_forward gives the head's input (rows, tokens, hidden) and the head to `sink` and computes no loss; units before it
  // are called with the cache where there is one; rows and tokens are those of the calls to come. Borrowed.
  using HeadSink = std::function<void(HeadUnit& head, const torch::Tensor& hidden)>;
  void set_head_sink(HeadSink sink) { head_sink_ = std::move(sink); }
  void set_token_cache(TokenCache* cache) { cache_ = cache; }
  void set_tokens(std::int64_t tokens) { shape_.tokens = tokens; }

  // Of the buffers for widened weights, mapped at construction: 0 where the dtypes are one. Part of the device budget.
  [[nodiscard]] std::uint64_t widened_bytes() const { return widened_.bytes(); }

  [[nodiscard]] std::optional<std::uint64_t> rehearse(device::Device& device, const DryRun& dry, int unit) override;
  [[nodiscard]] std::optional<std::uint64_t> rehearse_kept(device::Device& device, const DryRun& dry, int unit) override;
  void warm_up(device::Device& device, std::span<const int> kept_by_unit) override;
  void cap_temporaries(std::uint64_t bytes) override;
  [[nodiscard]] std::uint64_t resident_bytes() const override { return arena_ ? arena_->bytes() : 0; }
  // The slots that run() was given so far, `unit` last, are gone.
  void forget_slots(int unit);
  // Elements of packed weights that were dequantised so far, each as often as it was.
  [[nodiscard]] std::uint64_t dequantised() const override { return packed_.dequantised(); }
  // Of temporaries that found no room in what cap_temporaries() set aside, so far.
  [[nodiscard]] std::uint64_t outside_bytes() const { return meter_.outside_bytes; }

 private:
  struct KeptPass {
    int unit = 0;
    int micro_batch = 0;
    model::Activations activations;
  };
  struct Views {
    std::vector<torch::Tensor> parameters;
    torch::Tensor flat;
  };

  torch::nn::Module& module_of(int unit) {
    return *model_.kinds[static_cast<std::size_t>(model_.units[static_cast<std::size_t>(unit)])].module;
  }
  model::ParameterSet& parameters_of(int unit) {
    return parameters_[static_cast<std::size_t>(model_.units[static_cast<std::size_t>(unit)])];
  }
  Views& views(int object, std::byte* base, at::ScalarType dtype);
  torch::Tensor& tied_view(std::byte* base, at::ScalarType dtype);
  std::byte* computable(int object, std::byte* weights, bool opens);
  torch::Tensor hidden(std::byte* data) const;
  void begin_rehearsal(const DryRun& dry, RehearsedRoom& room);
  void end_rehearsal(const ComputeShape& own, int unit);
  // run(), which throws what LibTorch does.
  void compute(const device::ComputeScope& scope, const runtime::ComputeCall& call);
  struct Work;  // a call, inside the guard
  void bind(const Work& work);
  void bind_own(const Work& work, const runtime::UsedObject& own);
  void bind_tied(const Work& work, const runtime::UsedObject& shared);
  void forward(const Work& work);
  void backward(const Work& work);
  model::Activations take_kept(int unit, int micro_batch);
  void head(const Work& work);
  // Rows of hidden states that gradients belong to.
  [[nodiscard]] torch::Tensor own_rows(const torch::Tensor& hidden) const { return shape_.passes == 1 ? hidden : hidden.narrow(0, 0, shape_.rows); }
  void run_trial(device::Device& device, const TrialCall& trial);
  void for_documents(const std::function<void()>& work);
  void keep_on_zeros(device::Device& device, int unit, int passes, const std::function<void()>& after_each);
  std::uint64_t kept_by_passes(device::Device& device, int unit, const DryRun& dry);
  void drop_kept();
  template <typename Measure>
  std::optional<std::uint64_t> rehearsed(const DryRun& dry, int unit, const Measure& measure);

  Model& model_;
  const plan::ModelLayout& layout_;
  ComputeShape shape_;
  const c10::Device device_;
  std::vector<std::vector<std::int32_t>> rehearsed_starts_;  // of a dry run; else empty
  bool gives_back_ = false;  // of a GPU: the last dry run did not fit
  HeadSink head_sink_;
  TokenCache* cache_ = nullptr;
  TorchMemoryMeter meter_;
  memory::BlockArena::Owner arena_;
  WidenedWeights widened_;
  PackedWeights packed_;
  std::vector<model::ParameterSet> parameters_;                                // by kind
  std::map<std::tuple<int, bool, std::byte*, at::ScalarType>, Views> views_;   // by the unit's shape, whether it is what is frozen beside, and slot
  std::map<std::pair<std::byte*, at::ScalarType>, torch::Tensor> tied_views_;  // of the shared parameter
  std::vector<KeptPass> kept_;
};

// Units are called with this cache while it lives.
class TokenCacheScope {
 public:
  TokenCacheScope(TorchBackend& backend, TokenCache& cache) : backend_(backend) { backend.set_token_cache(&cache); }
  ~TokenCacheScope() { backend_.set_token_cache(nullptr); }
  TokenCacheScope(const TokenCacheScope&) = delete;
  TokenCacheScope& operator=(const TokenCacheScope&) = delete;

 private:
  TorchBackend& backend_;
};

}  // namespace gsnake::backend
