// A model whose arithmetic is cheap, deterministic fp32, and the loop that trains it in memory: what the executor is compared with.
// Sums depend on their order and every weight on every other, so that a task that ran too early, too late or twice changes bits.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.h"
#include "optim/optimizer.h"
#include "runtime/compute.h"
#include "runtime/outcome.h"
#include "schedule/problem.h"

namespace gsnake::runtime::test {

inline constexpr int kTokens = 8;  // per micro-batch

// Of one object, as it is stored: padded_elements() each.
struct ToyObject {
  std::vector<std::byte> weights;
  std::vector<std::vector<std::byte>> states;  // the master's part first, where there is one

  bool operator==(const ToyObject&) const = default;
};

// Sets the weights' and states' widths in `problem`.
void set_formats(schedule::Problem& problem, const optim::OptimizerSpec& spec);
// Random values, moments included; zeros in the padding.
std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed);
// The learning rate of the update after so many.
double learning_rate(std::int64_t updates);
// The first half of each object's elements decays.
std::vector<std::vector<optim::DecayRun>> decay_runs(const schedule::Problem& problem);

class ToyBackend : public ComputeBackend {
 public:
  // blows_up: of some steps, the gradient is not finite.
  explicit ToyBackend(const schedule::Problem& problem, bool blows_up = false);
  void run(const device::ComputeScope& scope, const ComputeCall& call, StepBatch& batch) override;

 private:
  struct Pass;
  struct Work;
  void forward(const Pass& pass, const Work& work);
  void backward(const Pass& pass, const Work& work);
  void head(const Pass& pass, const Work& work);
  // In fp32, as the units compute; `scratch` is used where they are stored otherwise.
  const float* wide(const std::byte* weights, std::uint64_t elements, std::vector<float>& scratch) const;
  const float* own_weights(const Pass& pass, const Work& work);
  const float* tied_weights(const Pass& pass, const Work& work);
  const float* unit_input(const Work& work);

  const schedule::Problem problem_;
  const bool blows_up_;
  const std::size_t hidden_;
  std::vector<float> own_weights_;
  std::vector<float> tied_weights_;
  std::vector<float> input_;
  std::vector<float> output_;
  std::vector<float> output_gradient_;
};

// Trains in memory, a task after another in the order of the problem's visits. Knows nothing of graphs, lanes and stores.
class ToyReference {
 public:
  struct Step {
    double gradient_norm = 0.0;
    bool skipped = false;
    double factor = 1.0;  // of clipping
    double loss_scale = 1.0;
  };
  ToyReference(const schedule::Problem& problem, const optim::OptimizerSpec& spec, const Policy& policy, const StepCounters& counters,
               std::vector<ToyObject> objects, bool blows_up);
  // Writes the batch's losses.
  Step train(StepBatch& batch);
  void validate(StepBatch& batch);
  [[nodiscard]] const std::vector<ToyObject>& objects() const { return objects_; }

 private:
  void compute(schedule::Op op, int unit, int micro_batch, StepBatch& batch);
  void update(std::size_t object, const optim::StepScalars& scalars);
  [[nodiscard]] double scaled_norm() const;
  device::DevicePtr checkpoint(int unit, int micro_batch);
  device::DevicePtr hidden_gradient(int unit, int micro_batch);

  const schedule::Problem problem_;
  const Policy policy_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  StepCounters counters_;
  ToyBackend backend_;
  const std::unique_ptr<device::Device> device_ = device::make_cpu_device();
  std::vector<ToyObject> objects_;
  std::vector<std::vector<float>> gradients_;
  std::vector<float> tied_gradients_;
  std::vector<bool> summed_;  // by object
  bool tied_summed_ = false;
  std::vector<std::vector<float>> checkpoints_;
  std::vector<std::vector<float>> hidden_gradients_;
};

}  // namespace gsnake::runtime::test
