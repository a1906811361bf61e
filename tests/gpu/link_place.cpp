#include "link/place.h"

#include "device/cuda_plugin.h"

namespace gsnake::test {

std::string why_not_on(int gpus) {
  const device::CudaProbe probe = device::probe_cuda();
  if (!probe.lack.cause.empty()) return probe.lack.cause;
  const auto found = static_cast<int>(probe.devices.size());
  return found >= gpus ? "" : std::to_string(found) + " of the " + std::to_string(gpus) + " GPUs that it takes are here";
}

}  // namespace gsnake::test
