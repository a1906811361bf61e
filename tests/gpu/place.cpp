#include "fused/place.h"

#include <memory>
#include <string>

#include "device/cuda_plugin.h"
#include "device/named_device.h"
#include "torch/device_support.h"

namespace gsnake::test {

const char* Place::why_not() {
  static const std::string lack = device::probe_cuda().lack.cause;
  return lack.empty() ? nullptr : lack.c_str();
}
Place::Place() {
  static const std::unique_ptr<backend::DeviceSupport> opened(device::make_support("cuda:0"));
}
Place::~Place() = default;
int Place::misuses() { return 0; }
const model::FusedOps& Place::ops() const { return *model::fused_ops(torch::empty({1}, torch::device(torch::kCUDA))); }

}  // namespace gsnake::test
