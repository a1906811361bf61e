// What a session is built on: the thing that computes, and what computes its units there.
#pragma once

#include <functional>
#include <memory>

#include "device/device.h"
#include "plan/model_layout.h"
#include "torch/backend.h"

namespace gsnake::train {

// By default the CPU device and LibTorch.
struct Parts {
  std::function<std::unique_ptr<device::Device>()> make_device = [] { return device::make_cpu_device(); };
  // Model and layout are borrowed.
  std::function<std::unique_ptr<backend::UnitBackend>(Model&, const plan::ModelLayout&, const backend::ComputeShape&)> make_backend =
      [](Model& model, const plan::ModelLayout& layout, const backend::ComputeShape& shape) { return std::make_unique<backend::TorchBackend>(model, layout, shape); };
};

}  // namespace gsnake::train
