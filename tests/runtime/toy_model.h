// A model whose arithmetic is cheap, deterministic fp32, and the loop that trains it in memory: what the executor is compared with.
// Sums depend on their order and every weight on every other, so that a task that ran too early, too late or twice changes bits.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "device/device.h"
#include "runtime/compute.h"
#include "runtime/outcome.h"
#include "runtime/toy_objects.h"
#include "schedule/visits.h"

namespace gsnake::runtime::test {

inline constexpr int kTokens = 8;  // per micro-batch
inline constexpr std::uint64_t kIdsBytes = kTokens * sizeof(std::int64_t);

// The learning rate of the update after so many.
double learning_rate(std::int64_t updates);

class ToyBackend : public ComputeBackend {
 public:
  // blows_up: of some steps, the gradient is not finite.
  explicit ToyBackend(const schedule::Problem& problem, bool blows_up = false);
  void run(const device::ComputeScope& scope, const ComputeCall& call) override;

 private:
  struct Mixer;
  struct Work;
  // One object after another, in fp32, adds to what y or x_gradient (may be null) hold.
  void mix_forward(const Work& work, const float* x, float* y);
  void mix_backward(const Work& work, const float* x, const float* y_gradient, float* x_gradient);
  [[nodiscard]] Mixer mixer_of(const Work& work, std::size_t use) const;
  const float* widened(const Work& work, const UsedObject& used);
  void forward(const Work& work);
  void backward(const Work& work);
  void head(const Work& work);
  const float* unit_input(const Work& work);
  std::vector<float>& kept(const Work& work);

  const schedule::Problem problem_;
  const bool blows_up_;
  const std::size_t hidden_;
  std::vector<float> wide_;
  std::vector<float> input_;
  std::vector<float> output_;
  std::vector<float> output_gradient_;
  std::vector<std::vector<float>> kept_;  // by unit and micro-batch of all ranks
};

// Trains in memory, a task after another in the order of the problem's visits. Knows nothing of graphs, lanes and stores. Of several ranks, whichever of
// them the problem is for, it is all: each rank's sums of a visit are added in the order of ranks.
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
  [[nodiscard]] std::vector<UsedObject> uses(int unit, bool differentiates);
  [[nodiscard]] std::size_t user_of(std::size_t object, int unit) const;
  [[nodiscard]] bool shares() const { return problem_.ranks > 1; }
  [[nodiscard]] std::size_t place_of(int unit, int micro_batch) const { return static_cast<std::size_t>(unit * problem_.ranks * problem_.micro_batches + micro_batch); }
  void visit(const schedule::Visit& visit, StepBatch& batch);
  void add_up();
  void update(std::size_t object, const optim::StepScalars& scalars);
  [[nodiscard]] double scaled_norm() const;
  device::DevicePtr checkpoint(int unit, int micro_batch);
  device::DevicePtr hidden_gradient(int unit, int micro_batch);

  const schedule::Problem problem_;
  const Policy policy_;
  ToyOptimizers optimizers_;
  StepCounters counters_;
  ToyBackend backend_;
  const std::unique_ptr<device::Device> device_ = device::make_cpu_device();
  std::array<std::int64_t, kTokens> ids_{};  // of the unit and micro-batch at work
  std::vector<ToyObject> objects_;
  const std::vector<std::vector<int>> users_;               // by object
  std::vector<std::vector<std::vector<float>>> gradients_;  // by object and user; once all are added up, the first user's is the object's
  std::vector<std::vector<bool>> summed_;                   // likewise
  std::vector<std::vector<float>> of_visit_;                // by object, of several ranks: the sum of the ranks so far,
  std::vector<std::vector<float>> of_rank_;                 // and what one rank gathers
  std::vector<bool> gathers_;                               // by object: the rank has begun to
  std::vector<std::vector<float>> checkpoints_;
  std::vector<std::vector<float>> hidden_gradients_;
};

}  // namespace gsnake::runtime::test
