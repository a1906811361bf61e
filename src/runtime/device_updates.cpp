#include "runtime/device_updates.h"

#include <algorithm>

#include "optim/norm.h"

namespace gsnake::runtime {
namespace {

class HostUpdates final : public DeviceUpdates {
 public:
  HostUpdates(const std::vector<const optim::Optimizer*>& optimizers, const std::vector<std::vector<optim::DecayRun>>& decay_runs)
      : optimizers_(optimizers), decay_runs_(decay_runs) {}

  void update(const device::ComputeScope& scope, const DeviceUpdateCall& call) override {
    const optim::Optimizer& optimizer = *optimizers_[static_cast<std::size_t>(call.object)];
    optim::UpdateChunk chunk;
    chunk.weight = scope.address(call.weight);
    chunk.master = scope.address(call.master);
    for (std::size_t k = 0; k < call.states.size(); ++k) chunk.states[k] = scope.address(call.states[k]);
    chunk.gradient = scope.as<float>(call.gradient);
    chunk.partials = scope.as<double>(call.partials);
    chunk.elements = call.elements;
    chunk.first_element = call.first_element;
    chunk.runs = decay_runs_[static_cast<std::size_t>(call.object)];
    auto& greatest = *scope.as<std::uint32_t>(call.greatest);
    if (call.opens) greatest = 0;
    if (call.skipped) return optimizer.restore_weight(chunk);
    if (!optimizer.update(call.scalars, chunk)) greatest = std::max(greatest, optim::unstorable_magnitude(optimizer.weight_format()));
  }

  void norm(const device::ComputeScope& scope, const DeviceNormCall& call) override {
    optim::square_sums({scope.as<float>(call.gradient), call.elements}, {scope.as<double>(call.partials), call.elements / optim::kNormBlock});
  }

 private:
  const std::vector<const optim::Optimizer*>& optimizers_;
  const std::vector<std::vector<optim::DecayRun>>& decay_runs_;
};

}  // namespace

std::unique_ptr<DeviceUpdates> make_host_updates(const std::vector<const optim::Optimizer*>& optimizers, const std::vector<std::vector<optim::DecayRun>>& decay_runs) {
  return std::make_unique<HostUpdates>(optimizers, decay_runs);
}

}  // namespace gsnake::runtime
