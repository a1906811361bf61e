#include "device/cuda_lack.h"

#include <fmt/format.h>

#include <cstdlib>

namespace gsnake::device {

std::string cuda_version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

CudaLack plugin_not_found(const std::string& folder) {
  return {fmt::format("there is no CUDA plug-in (libgreedysnake_cuda.so) {}on the library path", folder.empty() ? "" : "in " + folder + " or "),
          "where the CUDA toolkit is installed, run scripts/setup and build again; the configure step says what it leaves out"};
}

CudaLack plugin_not_opened(const std::string& path, const std::string& why) {
  const std::string::size_type end = why.find(": cannot open shared object file");
  const std::string cause = fmt::format("the CUDA plug-in {} can't be opened: {}", path, why);
  if (end == std::string::npos) return {cause, "build it again with the libraries that this machine has"};
  return {cause, fmt::format("add the folder of {} to LD_LIBRARY_PATH (CUDA toolkit, cuDNN, NCCL, cuSPARSELt, NVSHMEM and cuFile are needed), or build with LIBTORCH "
                             "set to an installed torch, which has them",
                             why.substr(0, end))};
}

CudaLack plugin_of_another_build(const std::string& path) {
  return {fmt::format("the CUDA plug-in {} is of another build of greedysnake", path), "build and install both together"};
}

CudaLack plugin_without_device() { return {"this build's CUDA plug-in has no device", "take a newer build"}; }

CudaLack no_driver() { return {"there is no NVIDIA driver (libcuda.so.1)", "install one; in a container, give it the GPU (--gpus all)"}; }

CudaLack driver_too_old(int driver_version, int runtime_version) {
  const std::string needed = fmt::format("{}.0", runtime_version / 1000);
  return {fmt::format("the NVIDIA driver is too old: it supports CUDA {}, and this build needs {}", cuda_version_text(driver_version), needed),
          fmt::format("install a driver for CUDA {} or later, or build with a LibTorch for CUDA {}", needed, driver_version / 1000)};
}

CudaLack no_gpu() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) {
    return {"the NVIDIA driver shows no GPU", "see whether `nvidia-smi -L` lists one; in a container, give it the GPU (--gpus all)"};
  }
  return {fmt::format("the NVIDIA driver shows no GPU with CUDA_VISIBLE_DEVICES=\"{}\"", visible), "unset it, or name a GPU that `nvidia-smi -L` lists"};
}

CudaLack cuda_failed(const std::string& call, const std::string& why) {
  return {fmt::format("{} failed: {}", call, why), "see whether `nvidia-smi` works"};
}

CudaLack no_such_device(int ordinal, int devices) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string shown = visible == nullptr ? "" : fmt::format(" (CUDA_VISIBLE_DEVICES=\"{}\")", visible);
  const std::string there = devices == 1 ? "the only GPU is cuda:0" : fmt::format("the GPUs are cuda:0 to cuda:{}", devices - 1);
  return {fmt::format("there is no cuda:{}: {}{}", ordinal, there, shown), "name one of these"};
}

CudaLack gpu_too_old(int ordinal, const std::string& name, int major, int minor) {
  return {fmt::format("cuda:{} is a {} of compute capability {}.{}, and LibTorch has code for {}.{} and later", ordinal, name, major, minor, kLeastCapability / 10,
                      kLeastCapability % 10),
          "name another GPU"};
}

}  // namespace gsnake::device
