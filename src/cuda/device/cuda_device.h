// The Device interface on CUDA: streams that are CUDA's, events without timing, device memory by cudaMalloc. Includes no LibTorch: what makes
// a stream LibTorch's current one is handed in.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "core/topology.h"
#include "device/device.h"

namespace gsnake::cuda {

struct CudaDeviceSettings {
  int ordinal = 0;
  std::size_t register_chunk_bytes = std::size_t{512} << 20U;
  // Calls run(argument) with `stream` as the one that tensor operations of this thread go to; null: just calls it.
  void (*with_current)(cudaStream_t stream, int ordinal, void (*run)(void*), void* argument) = nullptr;
  // Of tests: a machine as it is described, and what stands before its /sys.
  const core::Topology* machine = nullptr;  // borrowed for the call; null: this one
  std::string root = {};
};

// Throws Error(device) where CUDA refuses. Work inside compute() only launches: it has ended when an event after it is reached. A failure of
// a call leaves the call; one of a kernel leaves wait() and reached(), each time, as the device is of no use from then on.
std::unique_ptr<device::Device> make_cuda_device(const CudaDeviceSettings& settings);

}  // namespace gsnake::cuda
