#include "kernels/place.h"

#include <gtest/gtest.h>

#include <new>

namespace gsnake::kernels::place {

const char* why_not() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return devices == 0 ? "there is no GPU" : nullptr;
}

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  void* address = nullptr;
  if (cudaMalloc(&address, bytes + 64) != cudaSuccess) throw std::bad_alloc();
  return {static_cast<std::byte*>(address), [](std::byte* memory) { cudaFree(memory); }};
}

void to_device(std::byte* device, const void* host, std::size_t bytes) { EXPECT_EQ(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), cudaSuccess); }
void to_host(void* host, const std::byte* device, std::size_t bytes) { EXPECT_EQ(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost), cudaSuccess); }

void in_each_order(const std::function<void()>& body) { body(); }

}  // namespace gsnake::kernels::place
