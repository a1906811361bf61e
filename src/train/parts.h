// What a session is built on: the thing that computes, and what computes its units there.
#pragma once

#include <functional>
#include <memory>

#include "device/device.h"
#include "greedysnake/config.h"
#include "plan/model_layout.h"
#include "torch/backend.h"

namespace gsnake::train {

struct ComputeDevice {
  std::unique_ptr<device::Device> device;
  std::unique_ptr<backend::DeviceSupport> support;  // null for the CPU
};

// What memory.device names. Throws Error(usage) with the cause and the remedy where it can't be had.
ComputeDevice open_device(const Config& config);

// By default what the config names, and LibTorch.
struct Parts {
  std::function<ComputeDevice(const Config&)> make_device = open_device;
  // Model and layout are borrowed.
  std::function<std::unique_ptr<backend::UnitBackend>(Model&, const plan::ModelLayout&, const backend::ComputeShape&)> make_backend =
      [](Model& model, const plan::ModelLayout& layout, const backend::ComputeShape& shape) { return std::make_unique<backend::TorchBackend>(model, layout, shape); };
};

}  // namespace gsnake::train
