// Where a test that is for both builds of kernels/ runs: the host build (tests/kernels/place.cpp) or a GPU (tests/gpu_kernels/place.cpp).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace gsnake::kernels::place {

// Null where kernels can run here, else the cause.
const char* why_not();

// Device memory aligned to 64 bytes. On the host what follows it, up to a multiple of 64, is at the end of what can be read.
std::shared_ptr<std::byte> allocate(std::size_t bytes);
void to_device(std::byte* device, const void* host, std::size_t bytes);
// After all that was launched on the null stream; fails the test for an error of that.
void to_host(void* host, const std::byte* device, std::size_t bytes);

// Calls body() in several orders of threads and sizes of grids, where they can be chosen.
void in_each_order(const std::function<void()>& body);

template <class T>
std::shared_ptr<std::byte> on_device(const std::vector<T>& values) {
  const std::size_t bytes = values.size() * sizeof(T);
  auto device = allocate(bytes);
  to_device(device.get(), values.data(), bytes);
  return device;
}

}  // namespace gsnake::kernels::place
