// Why CUDA can't be used here, in the words that a refused run and `gsnake doctor` share.
#pragma once

#include <string>

namespace gsnake::device {

// 10 * major + minor of the least compute capability that CUDA 13, and with it LibTorch, has code for.
inline constexpr int kLeastCapability = 75;

struct CudaLack {
  std::string cause;   // "no NVIDIA driver was found (libcuda.so.1)"; empty: nothing is lacking
  std::string remedy;  // "install one", a call to action without the alternative of the CPU
};

// `folder` is where libgreedysnake is; "" where that is not known.
CudaLack plugin_not_found(const std::string& folder);
// `why` is the dynamic linker's own text.
CudaLack plugin_not_opened(const std::string& path, const std::string& why);
CudaLack plugin_of_another_build(const std::string& path);
CudaLack plugin_without_device();
CudaLack no_driver();
// Versions as CUDA counts them: 13000 is 13.0.
CudaLack driver_too_old(int driver_version, int runtime_version);
// Reads CUDA_VISIBLE_DEVICES, which hides GPUs.
CudaLack no_gpu();
// What CUDA said, where that is none of the above.
CudaLack cuda_failed(const std::string& call, const std::string& why);
// Of as many as `devices`, at least one.
CudaLack no_such_device(int ordinal, int devices);
// Of compute capability `major`.`minor`, for which there is no code.
CudaLack gpu_too_old(int ordinal, const std::string& name, int major, int minor);

// "13.0" of 13000.
std::string cuda_version_text(int version);

}  // namespace gsnake::device
