// The CUDA runtime's return codes as errors.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace gsnake::cuda {

// Throws Error(device) naming the device, the call and CUDA's reason, unless `code` is cudaSuccess.
void check(cudaError_t code, const std::string& device, const char* call);

}  // namespace gsnake::cuda
