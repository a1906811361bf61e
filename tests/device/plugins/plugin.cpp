// A plug-in of one GPU, whose ABI number is what it is built with.
#include "device/cuda_plugin_table.h"

namespace gsnake::device {
namespace {

CudaProbe probe(FreeMemory free_memory) {
  CudaProbe found;
  found.driver_version = found.runtime_version = 13000;
  found.devices.resize(1);
  found.devices[0].free_bytes = free_memory.is_measured(0) ? 7 : 0;
  return found;
}

constexpr CudaPluginTable kTable{PLUGIN_ABI, probe, nullptr};

}  // namespace
}  // namespace gsnake::device

extern "C" const gsnake::device::CudaPluginTable* gsnake_cuda_plugin() { return &gsnake::device::kTable; }
