#include "cuda/probe.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <array>
#include <system_error>
#include <thread>

#include "core/memory_node.h"

namespace gsnake::cuda {
namespace {

using device::CudaDeviceInfo;
using device::CudaLack;
using device::CudaProbe;
using device::FreeMemory;

std::string text_of(cudaError_t error) { return fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error)); }

CudaLack lack_of(cudaError_t error, int devices, const CudaProbe& probe) {
  if (error == cudaSuccess && devices > 0) return {};
  if (probe.driver_version == 0) return device::no_driver();
  if (error == cudaErrorInsufficientDriver) return device::driver_too_old(probe.driver_version, probe.runtime_version);
  if (error == cudaSuccess || error == cudaErrorNoDevice) return device::no_gpu();
  return device::cuda_failed("cudaGetDeviceCount", text_of(error));
}

// 0 where it can't be measured: a GPU in exclusive mode that another process has. On a thread of its own: the caller's current device stays what it was, and to set it back would
// make a context there.
std::uint64_t free_bytes_of(int ordinal) {
  std::size_t free = 0;
  try {
    std::thread([&] {
      std::size_t total = 0;
      if (cudaSetDevice(ordinal) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) free = 0;
    }).join();
  } catch (const std::system_error&) {  // no thread for this user
  }
  return free;
}

cudaError_t describe(int ordinal, FreeMemory free_memory, CudaDeviceInfo& info) {
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal); error != cudaSuccess) return error;
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.memory_bytes = properties.totalGlobalMem;
  info.unified_memory = properties.integrated != 0;
  info.coherent = properties.pageableMemoryAccessUsesHostPageTables != 0;
  std::array<char, 32> bus{};
  if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal) == cudaSuccess) info.pci_bus_id = bus.data();
  info.numa_node = core::memory_node_of(info.pci_bus_id);
  if (free_memory.is_measured(ordinal)) info.free_bytes = free_bytes_of(ordinal);
  return cudaSuccess;
}

}  // namespace

CudaProbe probe_runtime(FreeMemory free_memory) {
  CudaProbe probe;
  int devices = 0;
  cudaDriverGetVersion(&probe.driver_version);
  cudaRuntimeGetVersion(&probe.runtime_version);
  const cudaError_t counted = cudaGetDeviceCount(&devices);
  probe.lack = lack_of(counted, devices, probe);
  for (int ordinal = 0; counted == cudaSuccess && ordinal < devices; ++ordinal) {
    CudaDeviceInfo info;
    if (const cudaError_t error = describe(ordinal, free_memory, info); error != cudaSuccess) {
      probe.lack = device::cuda_failed(fmt::format("cudaGetDeviceProperties of GPU {}", ordinal), text_of(error));
      probe.devices.clear();
      break;
    }
    probe.devices.push_back(std::move(info));
  }
  cudaGetLastError();
  return probe;
}

}  // namespace gsnake::cuda
