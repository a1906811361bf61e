// What libgreedysnake_cuda.so shows to the library that opens it.
#include "cuda/probe.h"
#include "device/cuda_plugin_table.h"

extern "C" __attribute__((visibility("default"))) const gsnake::device::CudaPluginTable* gsnake_cuda_plugin() {
  static const gsnake::device::CudaPluginTable table{gsnake::device::kCudaPluginAbi, gsnake::cuda::probe_runtime, nullptr};
  return &table;
}
