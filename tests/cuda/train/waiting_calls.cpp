#include "train/waiting_calls.h"

#include "fake/control.h"
#include "gpu/fake_gpu.h"

namespace gsnake::test {

std::map<std::string, long> waiting_calls() {
  std::map<std::string, long> calls;
  for (const char* api : {"cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaMemcpy", "cudaMalloc", "cudaFree", "cudaHostAlloc", "cudaFreeHost", "cudaHostRegister",
                          "cudaStreamQuery", "pageable copy"}) {
    calls[api] = fake_cuda_calls(api);
  }
  calls["operations that waited for their data"] = fake_gpu::counts().awaited;
  return calls;
}

}  // namespace gsnake::test
