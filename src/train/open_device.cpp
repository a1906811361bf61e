#include "device/named_device.h"
#include "train/parts.h"

namespace gsnake::train {

ComputeDevice open_device(const Config& config) {
  ComputeDevice made;
  made.support.reset(device::make_support(config.memory.device));
  made.device = device::make_device(config.memory.device);
  return made;
}

}  // namespace gsnake::train
