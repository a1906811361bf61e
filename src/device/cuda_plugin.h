// CUDA as those without it see it: a plug-in, libgreedysnake_cuda.so, that is opened when it is first asked for and stays open. Nothing here
// needs CUDA or LibTorch, and a process that asks for nothing here loads neither the plug-in nor what it is built on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/cuda_lack.h"
#include "device/device.h"

namespace gsnake::backend {
class DeviceSupport;  // src/torch/device_support.h
}
namespace gsnake::dist {
class DeviceLink;  // src/dist/device_link.h
struct DeviceLinkParts;
}  // namespace gsnake::dist

namespace gsnake::device {

struct CudaDeviceInfo {
  std::string name;  // "NVIDIA H200"
  int major = 0;     // compute capability
  int minor = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t free_bytes = 0;  // 0: not measured
  bool unified_memory = false;   // the device's memory is the host's own, as on GB10: copies between them move nothing
  bool coherent = false;         // it reads host memory in place through the host's page tables: GB10, and GH200, whose memory is still its own
  std::string pci_bus_id;        // "0000:65:00.0"
  int numa_node = -1;            // that it is attached to; -1: not known
};

struct CudaProbe {
  std::string plugin;                   // its path; empty where it was not opened
  int driver_version = 0;               // CUDA that the driver supports, 13000 for 13.0; 0: no driver
  int runtime_version = 0;              // CUDA that the plug-in runs on; 0 where it was not opened
  std::vector<CudaDeviceInfo> devices;  // in CUDA's order, which CUDA_VISIBLE_DEVICES changes
  CudaLack plugin_lack;                 // why the plug-in was not opened
  CudaLack lack;                        // why no device can be used, for whatever reason; empty where they can
};

// Of which GPUs the free memory is measured. Measuring makes a context on them, hundreds of megabytes until the process ends: of all, for a process that only looks.
class FreeMemory {
 public:
  static constexpr FreeMemory unknown() { return FreeMemory(kNone); }
  static constexpr FreeMemory of(int ordinal) { return FreeMemory(ordinal); }
  static constexpr FreeMemory of_all() { return FreeMemory(kAll); }
  [[nodiscard]] constexpr bool is_measured(int ordinal) const { return which_ == kAll || which_ == ordinal; }

 private:
  static constexpr int kNone = -1;
  static constexpr int kAll = -2;
  explicit constexpr FreeMemory(int which) : which_(which) {}
  int which_;
};

// What this process could use. Opens the plug-in. Thread-safe; throws nothing but std::bad_alloc.
CudaProbe probe_cuda(FreeMemory free_memory = FreeMemory::unknown());

// Of too small a compute capability.
[[nodiscard]] bool is_too_old(const CudaDeviceInfo& info) noexcept;

// What opens a device beside its number.
struct CudaDeviceOptions {};

// Throws Error(usage) with the cause and the remedy where `cuda:ordinal` can't be used, and nothing else: for a look before any work.
void require_cuda_device(int ordinal);

// Throws as require_cuda_device() does, and what the device throws where it is there and fails.
std::unique_ptr<Device> make_cuda_device(int ordinal, const CudaDeviceOptions& options);
// LibTorch's side of it; the caller's to delete. Throws likewise.
backend::DeviceSupport* make_cuda_support(int ordinal);
// Between its memory and that of the other ranks' devices; the caller's to delete. Throws likewise.
dist::DeviceLink* make_cuda_link(int ordinal, const dist::DeviceLinkParts& parts);

}  // namespace gsnake::device
