// The loop that every bit-identity test compares with: each unit's fp32 master weights, gradients and moments in plain tensors in memory,
// micro-batches and units in plain nested loops. It uses the product's units, make_adamw_step() and seeds, and none of its store, schedule,
// runtime, unit operations or optimizer kernels.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

#include "greedysnake/unit.h"
#include "model/binding.h"
#include "reference/loss_scale.h"
#include "reference/update_loop.h"

namespace gsnake::reference {

// Of the micro-batches at each visit of a unit. Snake: every step starts ascending at unit 0's forward and the direction turns at every
// visit (forward 0, forward 1, ..., head, backward U-2, ..., backward 0).
enum class Order { ascending, snake };

// What a step does whose loss or gradient norm is not finite: step() throws std::runtime_error, or skips the update. Neither changes
// weights, moments or the count of updates.
enum class OnNonfinite { stop, skip };

struct Options {
  optim::AdamWHyper hyper;
  Rule rule = Rule::adamw;
  bool bf16_moments = false;
  double gradient_clipping = 0.0;  // of the global L2 norm; 0: off
  OnNonfinite on_nonfinite = OnNonfinite::stop;
  at::ScalarType dtype = torch::kFloat32;    // of compute weights, hidden states and their gradients: fp32, bf16, fp16
  at::ScalarType compute = torch::kFloat32;  // of what units run in: `dtype`, or fp32
  LossScaleOptions loss_scale;               // fp16 alone
  bool decay_1d = false;
  std::uint64_t seed = 1;
  std::int64_t head_chunk = 256;  // tokens
  Order order = Order::ascending;
};

// Both (rows, tokens) int64; labels may hold kIgnoredLabel.
struct MicroBatch {
  torch::Tensor ids;
  torch::Tensor labels;
};

struct StepResult {
  double loss = 0.0;             // mean over the step's counted tokens: micro-batch losses added in double, m ascending
  double grad_norm = 0.0;        // before clipping, without the loss scale; not finite after an overflow
  float gradient_factor = 1.0F;  // what clipping and the loss scale come to; 0 where the step was skipped
  float loss_scale = 1.0F;       // of this step
  bool skipped = false;
  std::vector<double> micro_batch_losses;
};

class ReferenceLoop {
 public:
  // Initializes the weights: unit after unit, each after seed_initialization(seed, unit). The model's module instances are rebound at every
  // use, and their train()/eval() mode is changed.
  ReferenceLoop(Model model, const Options& options);

  // One optimizer update over all micro-batches. Attempts are numbered from 1, for the seeds; updates are, for AdamW's bias correction.
  StepResult step(std::span<const MicroBatch> micro_batches, double learning_rate);
  // Mean loss over the counted tokens in eval mode, scaled and added as in step().
  double validation_loss(std::span<const MicroBatch> micro_batches);

  [[nodiscard]] std::int64_t updates() const { return updates_; }
  [[nodiscard]] float loss_scale() const;  // of the next step; 1 unless the dtype is fp16
  [[nodiscard]] std::int64_t units() const { return static_cast<std::int64_t>(units_.size()); }
  // Flat fp32 vector of a unit, the master of its compute weights, laid out as layout(unit) says, without padding behind the last parameter
  // beyond the layout's own. A tied head's shared weight is in unit 0's vector only. Gradients are those of the last step, times its loss
  // scale.
  [[nodiscard]] const torch::Tensor& weights(std::int64_t unit) const { return units_.at(static_cast<std::size_t>(unit)).weights; }
  [[nodiscard]] const torch::Tensor& gradients(std::int64_t unit) const { return units_.at(static_cast<std::size_t>(unit)).gradients; }
  [[nodiscard]] const torch::Tensor& moment1(std::int64_t unit) const { return units_.at(static_cast<std::size_t>(unit)).moment1; }
  [[nodiscard]] const torch::Tensor& moment2(std::int64_t unit) const { return units_.at(static_cast<std::size_t>(unit)).moment2; }
  [[nodiscard]] const optim::FlatLayout& layout(std::int64_t unit) const { return units_.at(static_cast<std::size_t>(unit)).layout; }

 private:
  struct UnitState {
    torch::nn::Module* module = nullptr;
    optim::FlatLayout layout;
    torch::Tensor weights;          // fp32 master
    torch::Tensor compute_weights;  // rounded to the dtype, then in the compute dtype; in fp32 the master itself
    torch::Tensor gradients;
    torch::Tensor moment1;
    torch::Tensor moment2;
  };
  // Activations of one step.
  struct Pass {
    std::span<const MicroBatch> micro_batches;
    bool training = false;
    float scale = 0.0F;
    float loss_scale = 1.0F;
    std::int64_t visits = 0;
    std::vector<std::vector<torch::Tensor>> inputs;  // of unit, of micro-batch; in the dtype
    std::vector<torch::Tensor> grads;  // of micro-batch, in the dtype: with respect to the output of the unit that is next in backward
    std::vector<double> losses;
  };

  void bind(std::int64_t unit, bool training);
  void seed(const Pass& pass, std::int64_t unit, std::size_t micro_batch) const;
  std::vector<std::size_t> visit(Pass& pass) const;
  Pass begin(std::span<const MicroBatch> micro_batches, bool training) const;
  void forward(Pass& pass);
  void head(Pass& pass);
  double head_micro_batch(Pass& pass, HeadUnit& head, std::size_t m);
  void backward(Pass& pass);
  void merge_tied();
  [[nodiscard]] torch::Tensor to_compute(const torch::Tensor& input) const;
  [[nodiscard]] double scaled_norm() const;
  [[nodiscard]] float gradient_factor(double norm, float loss_scale) const;
  void update(const UpdateStep& step);
  void round_weights();

  Model model_;
  Options options_;
  std::vector<UnitState> units_;
  std::size_t tied_head_index_ = 0;       // of the shared parameter among the head's; meaningful if the model is tied
  std::size_t tied_embedding_entry_ = 0;  // in the embedding's layout
  torch::Tensor tied_head_gradient_;
  LossScale loss_scale_;
  std::int64_t step_ = 0;     // attempts
  std::int64_t updates_ = 0;  // of them not skipped
};

}  // namespace gsnake::reference
