// What a preloaded library makes the CUDA runtime say of GPUs: FAKE_GPUS of them, or that cudaGetDeviceCount() fails with FAKE_CUDA_ERROR.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int number(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::atoi(text);
}

int current = 0;

}  // namespace

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13010;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = number("FAKE_GPUS");
  return static_cast<cudaError_t>(number("FAKE_CUDA_ERROR"));
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  std::strcpy(properties->name, device == 0 ? "Fake A" : "Fake B");
  properties->major = device == 0 ? 9 : 6;
  properties->integrated = device;
  properties->totalGlobalMem = std::size_t{80} << 30;
  properties->pageableMemoryAccessUsesHostPageTables = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, static_cast<std::size_t>(length), "0000:%02X:00.0", 0xA0 + device);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  current = device;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = std::size_t{60 + static_cast<unsigned>(current)} << 30;
  *total = std::size_t{80} << 30;
  return cudaSuccess;
}

}  // extern "C"
