// All that the fake runtime knows, under one lock, and the frame of every call.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "fake/memory.h"
#include "fake/streams.h"

namespace gsnake::fake_cuda {

struct Failure {
  std::string api;
  int after = 0;
  cudaError_t code = cudaSuccess;
};

struct State {
  State();

  Memory memory;
  std::vector<Stream*> streams;  // never freed: their threads end with the process
  Stream* legacy = nullptr;
  std::vector<Failure> failures;
  std::map<std::string, long> calls;
  cudaError_t broken = cudaSuccess;
  int devices = 1;
  int driver = 0;  // as cudaDriverGetVersion() says it; 0: none
  int reports = 0;

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
