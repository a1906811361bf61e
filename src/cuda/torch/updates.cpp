#include "cuda/torch/updates.h"

#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>

#include <vector>

#include "cuda/device/check.h"
#include "cuda/torch/launching.h"
#include "kernels/optimizer_update.h"
#include "kernels/split_master.h"
#include "kernels/square_sums.h"
#include "optim/rules.h"

namespace gsnake::cuda {
namespace {

using kernels::DecayingRun;

kernels::UpdateStep step_of(const optim::RuleStep& step) {
  return {step.gradient_factor, step.beta1,   step.beta2,    step.one_minus_beta1, step.one_minus_beta2, step.step_size, step.inverse_sqrt_correction2,
          step.epsilon,         step.decay, step.no_decay};
}

class CudaUpdates final : public runtime::DeviceUpdates {
 public:
  CudaUpdates(int ordinal, const backend::DeviceUpdateParts& parts)
      : name_(fmt::format("cuda:{}", ordinal)), optimizer_(parts.optimizer), rules_{optimizer_.rule, optimizer_.weights, optimizer_.moments} {
    std::vector<DecayingRun> decaying;
    for (const std::vector<optim::DecayRun>& runs : parts.decay_runs) {
      first_run_.push_back(static_cast<int>(decaying.size()));
      for (const optim::DecayRun& run : runs) {
        if (run.decays) decaying.push_back({static_cast<std::int64_t>(run.begin), static_cast<std::int64_t>(run.end)});
      }
    }
    first_run_.push_back(static_cast<int>(decaying.size()));
    if (decaying.empty()) return;
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(ordinal));
    void* memory = nullptr;
    check(cudaMalloc(&memory, decaying.size() * sizeof(DecayingRun)), name_, "cudaMalloc");
    runs_.reset(static_cast<DecayingRun*>(memory));
    check(cudaMemcpy(memory, decaying.data(), decaying.size() * sizeof(DecayingRun), cudaMemcpyHostToDevice), name_, "cudaMemcpy");
  }

  void update(const device::ComputeScope& scope, const runtime::DeviceUpdateCall& call) override {
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
    auto* const greatest = scope.as<std::uint32_t>(call.greatest);
    const auto elements = static_cast<std::int64_t>(call.elements);
    if (call.opens) check(cudaMemsetAsync(greatest, 0, sizeof(*greatest), stream), name_, "cudaMemsetAsync");
    if (call.skipped) {
      if (rules_.weights == Dtype::fp16) check(kernels::to_fp16(scope.as<float>(call.master), scope.as<std::uint16_t>(call.weight), elements, stream), name_, "restoring weights");
      return;
    }
    kernels::UpdateArrays arrays;
    arrays.weight = scope.address(call.weight);
    arrays.master = scope.address(call.master);
    arrays.first_moment = scope.address(call.states[0]);
    arrays.second_moment = scope.address(call.states[1]);
    arrays.gradient = scope.as<float>(call.gradient);
    arrays.elements = elements;
    arrays.first_element = static_cast<std::int64_t>(call.first_element);
    const auto object = static_cast<std::size_t>(call.object);
    arrays.runs = runs_ ? runs_.get() + first_run_[object] : nullptr;
    arrays.run_count = first_run_[object + 1] - first_run_[object];
    arrays.partials = scope.as<double>(call.partials);
    arrays.greatest = greatest;
    check(kernels::update(rules_, step_of(optim::make_rule_step(optimizer_.rule, optimizer_, call.scalars)), arrays, stream), name_, "an update");
  }

  // Whether all of them are finite shows in the sums, which the host looks at.
  void norm(const device::ComputeScope& scope, const runtime::DeviceNormCall& call) override {
    check(kernels::square_sums(scope.as<float>(call.gradient), static_cast<std::int64_t>(call.elements), scope.as<double>(call.partials), nullptr, c10::cuda::getCurrentCUDAStream().stream()), name_,
          "sums of squares");
  }

 private:
  struct Free {
    void operator()(DecayingRun* runs) const {
      if (cudaFree(runs) != cudaSuccess) static_cast<void>(cudaGetLastError());
    }
  };

  const std::string name_;
  const optim::OptimizerSpec optimizer_;
  const kernels::UpdateRules rules_;
  std::unique_ptr<DecayingRun, Free> runs_;  // of all objects, on the device: those that decay
  std::vector<int> first_run_;               // by object; one more at the end
};

}  // namespace

std::unique_ptr<runtime::DeviceUpdates> make_updates(int ordinal, const backend::DeviceUpdateParts& parts) { return std::make_unique<CudaUpdates>(ordinal, parts); }

}  // namespace gsnake::cuda
