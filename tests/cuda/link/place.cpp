#include "link/place.h"

#include <cstdlib>

#include "fake/control.h"
#include "gpu/fake_gpu.h"

namespace gsnake::test {

std::string why_not_on(int) {
  ::setenv("FAKE_CUDA_DEVICES", "3", 1);  // read by the runtime's first call
  fake_gpu::install();
  const FakeCudaDelays delays{5, 12, 400, 20};
  fake_cuda_set_delays(&delays);
  return {};
}

}  // namespace gsnake::test
