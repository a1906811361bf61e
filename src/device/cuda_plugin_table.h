// What the plug-in and the library that opens it agree on.
#pragma once

#include <memory>

#include "device/cuda_plugin.h"

namespace gsnake::backend {
class DeviceSupport;  // src/torch/device_support.h
}
namespace gsnake::dist {
class DeviceLink;  // src/dist/device_link.h
struct DeviceLinkParts;
}  // namespace gsnake::dist

namespace gsnake::device {

// Raised with each change to what the table's functions take and return, Device and its parts among it: C++ types cross this border.
inline constexpr int kCudaPluginAbi = 6;

struct CudaPluginTable {
  int abi = kCudaPluginAbi;
  // Everything but `plugin`. Calls CUDA for the first time.
  CudaProbe (*probe)(FreeMemory free_memory) = nullptr;
  // Null in a build whose plug-in can only look.
  std::unique_ptr<Device> (*make_device)(int ordinal, const CudaDeviceOptions& options) = nullptr;
  // LibTorch's side of the same device; the caller's to delete. Null as above.
  backend::DeviceSupport* (*make_support)(int ordinal) = nullptr;
  // Between the memory of such devices, one of each rank; the caller's to delete. Null as above.
  dist::DeviceLink* (*make_link)(int ordinal, const dist::DeviceLinkParts& parts) = nullptr;
};

// The one name that the plug-in exports: `extern "C" const CudaPluginTable* gsnake_cuda_plugin()`.
inline constexpr const char* kCudaPluginEntry = "gsnake_cuda_plugin";
using CudaPluginEntry = const CudaPluginTable* (*)();

}  // namespace gsnake::device
