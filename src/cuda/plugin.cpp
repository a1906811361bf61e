// What libgreedysnake_cuda.so shows to the library that opens it.
#include "cuda/device/cuda_device.h"
#include "cuda/nccl/link.h"
#include "cuda/probe.h"
#include "cuda/torch/fused.h"
#include "cuda/torch/packed.h"
#include "cuda/torch/support.h"
#include "cuda/torch/updates.h"
#include "device/cuda_plugin_table.h"

namespace gsnake::cuda {
namespace {

std::unique_ptr<device::Device> make_device(int ordinal, const device::CudaDeviceOptions&) {
  return make_cuda_device({.ordinal = ordinal, .with_current = with_current_stream});
}

backend::DeviceSupport* make_device_support(int ordinal) { return make_support(ordinal, {&fused_ops(), &packed_ops(), make_updates}).release(); }

dist::DeviceLink* make_device_link(int ordinal, const dist::DeviceLinkParts& parts) { return make_link(ordinal, parts).release(); }

constexpr device::CudaPluginTable kTable{device::kCudaPluginAbi, probe_runtime, make_device, make_device_support, make_device_link};

}  // namespace
}  // namespace gsnake::cuda

extern "C" __attribute__((visibility("default"))) const gsnake::device::CudaPluginTable* gsnake_cuda_plugin() { return &gsnake::cuda::kTable; }
