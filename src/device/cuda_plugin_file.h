// Opening a file as the CUDA plug-in.
#pragma once

#include <string>

#include "device/cuda_plugin_table.h"

namespace gsnake::device {

struct CudaPluginFile {
  std::string path;                        // as the dynamic linker has it; empty where nothing was opened
  const CudaPluginTable* table = nullptr;  // the plug-in's own, for as long as the process lives: it is never closed
  CudaLack lack;                           // why there is no table
};

// A name with a slash is that file; one without is looked for as any library is. `folder` is told where it is not found.
CudaPluginFile open_cuda_plugin(const std::string& name, const std::string& folder);

// libgreedysnake_cuda.so beside the library that this code is in, else on the library path. Looked for once.
const CudaPluginFile& cuda_plugin();

}  // namespace gsnake::device
