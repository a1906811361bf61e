// LibTorch as a run's units are computed with it.
#pragma once

#include <memory>

#include "plan/problem.h"
#include "torch/backend.h"
#include "torch/process.h"

namespace gsnake::train {

// Its allocator and its number of threads, for the whole process, as long as somebody holds this. Throws Error(usage).
[[nodiscard]] std::shared_ptr<const backend::ProcessSettings> set_up_torch(const Config& config);

// accelerator: borrowed; null for the CPU.
backend::ComputeShape compute_shape(const Config& config, plan::Purpose purpose, backend::DeviceSupport* accelerator);

}  // namespace gsnake::train
