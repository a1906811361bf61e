// Updates of the optimizer on a CUDA device, by this project's kernel.
#pragma once

#include "torch/device_support.h"

namespace gsnake::cuda {

// For make_support(). What of an object's elements decays is put there at once.
std::unique_ptr<runtime::DeviceUpdates> make_updates(int ordinal, const backend::DeviceUpdateParts& parts);

}  // namespace gsnake::cuda
