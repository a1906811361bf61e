// Which GPUs this process can use, asked of the CUDA runtime.
#pragma once

#include "device/cuda_plugin.h"

namespace gsnake::cuda {

// Everything but CudaProbe::plugin. Makes no context unless free memory is to be measured. Leaves no error behind in the runtime.
device::CudaProbe probe_runtime(device::FreeMemory free_memory);

}  // namespace gsnake::cuda
