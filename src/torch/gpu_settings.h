// What LibTorch is told while a unit computes on a GPU: settings of its whole process, put back at the end.
#pragma once

#include <ATen/Context.h>

namespace gsnake::backend {

// Attention by LibTorch's flash kernels, or the memory-efficient ones, not by cuDNN's, whose bits change with its version. Where `deterministic`,
// kernels that give equal bits each time, in earnest: as a warning only, attention's backward would stay as it is. An operation that has none
// throws. One scope at a time.
class GpuSettings {
 public:
  GpuSettings(bool on_gpu, bool deterministic) : on_gpu_(on_gpu) {
    if (!on_gpu_) return;
    at::Context& context = at::globalContext();
    deterministic_ = context.deterministicAlgorithms();
    warns_only_ = context.deterministicAlgorithmsWarnOnly();
    fills_ = context.deterministicFillUninitializedMemory();
    cudnn_ = context.userEnabledCuDNNSDP();
    context.setDeterministicAlgorithms(deterministic, false);
    context.setDeterministicFillUninitializedMemory(false);  // or every tensor that is made would be written once more
    context.setSDPUseCuDNN(false);
  }
  ~GpuSettings() {
    if (!on_gpu_) return;
    at::Context& context = at::globalContext();
    context.setDeterministicAlgorithms(deterministic_, warns_only_);
    context.setDeterministicFillUninitializedMemory(fills_);
    context.setSDPUseCuDNN(cudnn_);
  }
  GpuSettings(const GpuSettings&) = delete;
  GpuSettings& operator=(const GpuSettings&) = delete;

 private:
  const bool on_gpu_;
  bool deterministic_ = false;
  bool warns_only_ = false;
  bool fills_ = true;
  bool cudnn_ = true;
};

}  // namespace gsnake::backend
