// All that the fake runtime knows, under one lock, and the frame of every call.
#pragma once

#include <mutex>
#include <vector>

#include "fake/memory.h"
#include "fake/streams.h"

namespace gsnake::fake_cuda {

// Names are compared, and tables grow, without the C library's functions: ThreadSanitizer sees what those touch, and not the lock.
struct Failure {
  const char* api = nullptr;
  int after = 0;
  cudaError_t code = cudaSuccess;
};
struct CallCount {
  const char* api = nullptr;
  long calls = 0;
};
bool same_name(const char* a, const char* b);

struct State {
  State();

  Memory memory;
  std::vector<Stream*> streams;  // never freed: their threads end with the process
  Stream* legacy = nullptr;
  std::vector<Failure> failures;
  std::vector<CallCount> counts;
  cudaError_t broken = cudaSuccess;
  int devices = 1;
  int driver = 0;  // as cudaDriverGetVersion() says it; 0: none
  int reports = 0;
  int integrated = 0;

  long& calls(const char* api);
  Stream* make_stream(bool blocking, bool legacy_stream = false);
  // Of a handle; 0 and 1 are the legacy default stream, which other blocking streams keep their order with.
  Stream* stream(cudaStream_t handle);
  void submit(Stream* stream, Task* task);
  [[nodiscard]] bool in_flight(const void* place, std::size_t bytes) const;
  void report(const char* what, const void* place, std::size_t bytes);
  // What is wrong with an asynchronous copy to or from there.
  cudaError_t check(const void* place, std::size_t bytes);
  // Whether it is memory that the driver would stage a copy of, and wait for it.
  [[nodiscard]] bool pageable(const void* place, std::size_t bytes);
};

HiddenLock& lock();
State& state();  // under the lock
// Counts the call, and says what it returns at once, if anything.
cudaError_t enter(const char* api);
// Kept as the thread's last error.
cudaError_t noted(cudaError_t error);
// After a wait, without the lock: what was waited for may have broken the context.
cudaError_t outlived();

}  // namespace gsnake::fake_cuda

#define FAKE_CUDA_ENTER                                             \
  const std::lock_guard fake_cuda_hold(gsnake::fake_cuda::lock()); \
  if (const cudaError_t fake_cuda_error = gsnake::fake_cuda::enter(__func__)) return gsnake::fake_cuda::noted(fake_cuda_error)
