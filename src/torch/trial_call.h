// A unit's tasks on memory of their own: to see what it takes.
#pragma once

#include <functional>
#include <vector>

#include "device/device.h"
#include "plan/model_layout.h"
#include "runtime/compute.h"
#include "torch/backend.h"

namespace gsnake::backend {

class TrialCall {
 public:
  // One micro-batch of the shape's rows and tokens, on zeros.
  TrialCall(device::Device& device, const plan::ModelLayout& layout, const ComputeShape& shape, int unit, bool training);
  TrialCall(const TrialCall&) = delete;
  TrialCall& operator=(const TrialCall&) = delete;

  // Small random weights and states, random ids and labels: processors are faster on zeros.
  void fill_with_noise(device::Device& device, const ComputeShape& shape, std::int64_t vocab);

  // Of the last unit in training, what computes forward and backward.
  [[nodiscard]] const runtime::ComputeCall& forward() const { return forward_; }
  [[nodiscard]] const runtime::ComputeCall& backward() const { return backward_; }
  [[nodiscard]] bool has_backward() const { return has_backward_; }

  // On the device's compute stream, until it has ended. What `work` throws is thrown on, and is no failure of the device: it is computed on again.
  static void run(device::Device& device, const std::function<void(const device::ComputeScope&)>& work);

 private:
  struct Slot {
    device::DeviceMemory memory;
    std::int64_t elements = 0;
    at::ScalarType dtype = torch::kFloat32;
  };
  std::vector<Slot> slots_;
  std::vector<runtime::UsedObject> uses_;
  runtime::ComputeCall forward_;
  runtime::ComputeCall backward_;
  bool has_backward_ = false;
};

}  // namespace gsnake::backend
