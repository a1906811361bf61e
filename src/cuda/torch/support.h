// LibTorch's side of a CUDA device.
#pragma once

#include <memory>

#include "cuda/device/cuda_device.h"
#include "torch/device_support.h"

namespace gsnake::cuda {

// For CudaDeviceSettings::with_current: the stream is LibTorch's current one for the length of the call.
void with_current_stream(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument);

// Throws Error(usage) where LibTorch cannot use the device.
std::unique_ptr<backend::DeviceSupport> make_support(int ordinal);

}  // namespace gsnake::cuda
