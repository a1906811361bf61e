// What a session is built on: the thing that computes, and what computes its units there.
#pragma once

#include <functional>
#include <memory>

#include "device/named_device.h"
#include "greedysnake/config.h"
#include "plan/model_layout.h"
#include "torch/backend.h"

namespace gsnake::train {

// By default the device that the config names, and LibTorch.
struct Parts {
  std::function<std::unique_ptr<device::Device>(const Config&)> make_device = [](const Config& config) { return device::make_device(config.memory.device); };
  // Model and layout are borrowed.
  std::function<std::unique_ptr<backend::UnitBackend>(Model&, const plan::ModelLayout&, const backend::ComputeShape&)> make_backend =
      [](Model& model, const plan::ModelLayout& layout, const backend::ComputeShape& shape) { return std::make_unique<backend::TorchBackend>(model, layout, shape); };
};

}  // namespace gsnake::train
