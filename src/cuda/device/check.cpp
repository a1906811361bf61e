#include "cuda/device/check.h"

#include <fmt/format.h>

#include "device/device_failure.h"

namespace gsnake::cuda {

void check(cudaError_t code, const std::string& device, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it is told now, and not by whoever calls next; a context that is broken stays so
  device::throw_failure(device, fmt::format("{} failed: {} ({})", call, cudaGetErrorString(code), cudaGetErrorName(code)));
}

}  // namespace gsnake::cuda
