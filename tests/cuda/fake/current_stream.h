// For CudaDeviceSettings::with_current in tests without LibTorch: which stream a kernel of the test's own goes to.
#pragma once

#include <cuda_runtime_api.h>

namespace gsnake::test {

inline thread_local cudaStream_t current_stream = nullptr;

inline void with_current(cudaStream_t stream, int, void (*run)(void*), void* argument) {
  current_stream = stream;
  run(argument);
  current_stream = nullptr;
}

}  // namespace gsnake::test
