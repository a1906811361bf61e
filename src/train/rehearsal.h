// Dry runs of a model's units, within what the device budget leaves for them.
#pragma once

#include <functional>

#include "plan/requirements.h"
#include "torch/unit_backend.h"

namespace gsnake::train {

// Measures LibTorch's temporaries into `setting`, whose run fits its budgets but for them. Where they do not fit, dry runs of fewer tokens
// tell about how much would be needed, and what would fit: Error(budget). `told` is called all along; what it throws ends the dry runs and
// is thrown on.
void measure_temporaries(backend::UnitBackend& backend, device::Device& device, const Config& config, plan::Setting& setting,
                         const std::function<void()>& told);

}  // namespace gsnake::train
