// A model whose arithmetic is cheap, deterministic fp32, and the loop that trains it in memory: what the executor is compared with.
// Sums depend on their order and every weight on every other, so that a task that ran too early, too late or twice changes bits.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "optim/optimizer.h"
#include "runtime/compute.h"
#include "schedule/problem.h"

namespace gsnake::runtime::test {

inline constexpr int kTokens = 8;  // per micro-batch
// fp32 AdamW; equal bit for bit on every target.
inline std::unique_ptr<optim::Optimizer> toy_optimizer(optim::Target target = optim::Target::best) { return optim::make_optimizer({}, target); }

// Of one object: padded_elements() each.
struct ToyObject {
  std::vector<float> weights;
  std::vector<float> moment1;
  std::vector<float> moment2;
};

// Random values, moments included; zeros in the padding.
std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed);
// The first half of each object's elements decays.
std::vector<std::vector<optim::DecayRun>> decay_runs(const schedule::Problem& problem);

class ToyBackend : public ComputeBackend {
 public:
  explicit ToyBackend(const schedule::Problem& problem);
  void run(const ComputeCall& call, StepBatch& batch) override;

 private:
  struct Pass;
  void forward(const Pass& pass, const ComputeCall& call, const StepBatch& batch);
  void backward(const Pass& pass, const ComputeCall& call, const StepBatch& batch);
  void head(const Pass& pass, const ComputeCall& call, StepBatch& batch);
  const float* embedding_input(const ComputeCall& call, const StepBatch& batch);

  const schedule::Problem problem_;
  const std::size_t hidden_;
  std::vector<float> input_;
  std::vector<float> output_;
  std::vector<float> output_gradient_;
};

// Trains in memory, a task after another in the order of the problem's visits. Knows nothing of graphs, lanes and stores.
class ToyReference {
 public:
  ToyReference(const schedule::Problem& problem, std::vector<ToyObject> objects);
  // Writes the batch's losses; returns the gradient norm.
  double train(StepBatch& batch, const optim::StepScalars& scalars);
  void validate(StepBatch& batch);
  [[nodiscard]] const std::vector<ToyObject>& objects() const { return objects_; }

 private:
  void compute(schedule::Op op, int unit, int micro_batch, StepBatch& batch);
  void update(std::size_t object, const optim::StepScalars& scalars);
  std::byte* checkpoint(int unit, int micro_batch);
  std::byte* hidden_gradient(int unit, int micro_batch);

  const schedule::Problem problem_;
  ToyBackend backend_;
  std::vector<ToyObject> objects_;
  std::vector<std::vector<float>> gradients_;
  std::vector<float> tied_gradients_;
  std::vector<bool> summed_;  // by object
  bool tied_summed_ = false;
  std::vector<std::vector<float>> checkpoints_;
  std::vector<std::vector<float>> hidden_gradients_;
};

}  // namespace gsnake::runtime::test
