#include "greedysnake/config.h"
#include "greedysnake/error.h"
#include "train/parts.h"

namespace gsnake::train {

ComputeDevice open_device(const Config& config) {
  if (config.memory.device == "cpu") return {device::make_cpu_device(), nullptr};
  throw Error(ErrorKind::usage, "memory.device = \"" + config.memory.device + "\": this build computes on the CPU only; set memory.device = \"cpu\"");
}

}  // namespace gsnake::train
