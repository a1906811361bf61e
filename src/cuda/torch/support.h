// LibTorch's side of a CUDA device.
#pragma once

#include <memory>

#include "cuda/device/cuda_device.h"
#include "model/fused.h"
#include "torch/device_support.h"

namespace gsnake::cuda {

// For CudaDeviceSettings::with_current: the stream is LibTorch's current one for the length of the call, which runs on one thread of each device, whoever calls.
// LibTorch keeps cuBLAS handles, and memory for each, by thread: so a dry run's and a step's are the same.
void with_current_stream(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument);

// What is computed by this project's kernels; each may be null.
struct KernelOps {
  const model::FusedOps* fused = nullptr;       // what models on CUDA devices compute with while any support with them lives
  const backend::PackedOps* packed = nullptr;   // for packed weights
  std::unique_ptr<runtime::DeviceUpdates> (*make_updates)(int ordinal, const backend::DeviceUpdateParts& parts) = nullptr;
};

// Throws Error(usage) where LibTorch cannot use the device.
std::unique_ptr<backend::DeviceSupport> make_support(int ordinal, const KernelOps& ops = {});

}  // namespace gsnake::cuda
