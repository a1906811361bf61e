// What tests say to the fake CUDA runtime, and ask of it. Plain C, as the runtime itself is: it is a library of its own, built without any
// sanitizer, that stands before the real libcudart in the order of symbols.
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How late streams are. A delay is drawn before each task, by seed and stream. The environment says so at first:
// FAKE_CUDA_SEED (1), FAKE_CUDA_DELAY_ONE_IN (8), FAKE_CUDA_DELAY_US (200), FAKE_CUDA_LAG (1).
struct FakeCudaDelays {
  uint64_t seed;
  unsigned one_in;      // so many tasks go without one that waits; 0: none waits
  unsigned longest_us;  // of a delay
  unsigned lag;         // half of the streams, by seed, take so many times as long
};
void fake_cuda_set_delays(const struct FakeCudaDelays* delays);

// The address at which the device's side may touch what it knows as `place`. Host addresses pass through.
void* fake_cuda_real(const void* place);
// From now on the addresses that are handed out are those that the device's side uses: for kernels that are ordinary functions. Before any
// device memory is allocated.
void fake_cuda_open_memory(void);
// A kernel: runs on the stream's thread.
cudaError_t fake_cuda_launch(cudaStream_t stream, void (*run)(void*), void* argument);
// Called inside a kernel: the range is live device memory or pinned, else it is reported.
void fake_cuda_uses(const void* place, size_t bytes);

// Whether devices are integrated ones, whose memory is the host's, from now on.
void fake_cuda_integrate(int integrated);

// The nth call of `api` from now on returns `code`, once. nth counts from 1.
void fake_cuda_fail(const char* api, int nth, cudaError_t code);
// What a kernel's fault does: every later call returns `code`, until fake_cuda_mend().
void fake_cuda_break(cudaError_t code);
void fake_cuda_mend(void);

// Calls of `api` so far.
long fake_cuda_calls(const char* api);
// Misuse seen so far, each with a line on stderr.
int fake_cuda_reports(void);
// Launched kernels for which nobody registered a version for the host: they did nothing.
int fake_cuda_skipped(void);
// Device memory that is allocated now, in bytes.
size_t fake_cuda_live_bytes(void);

#ifdef __cplusplus
}
#endif
