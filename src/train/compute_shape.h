// LibTorch as a run's units are computed with it.
#pragma once

#include "plan/problem.h"
#include "torch/backend.h"

namespace gsnake::train {

// Its allocator and its number of threads, for the whole process.
void set_up_torch(const Config& config);

// accelerator: borrowed; null for the CPU.
backend::ComputeShape compute_shape(const Config& config, plan::Purpose purpose, backend::DeviceSupport* accelerator);

}  // namespace gsnake::train
