// What LibTorch is told while a unit computes on a GPU: settings of its whole process, put back at the end.
#pragma once

namespace gsnake::backend {

// Attention by LibTorch's flash kernels, or the memory-efficient ones, not by cuDNN's, whose bits change with its version. Where `deterministic`,
// kernels that give equal bits each time, in earnest: as a warning only, attention's backward would stay as it is. An operation that has none
// throws. Scopes on several threads, each of another GPU, may overlap: while one of them asks for equal bits all have them.
class GpuSettings {
 public:
  GpuSettings(bool on_gpu, bool deterministic);
  ~GpuSettings();
  GpuSettings(const GpuSettings&) = delete;
  GpuSettings& operator=(const GpuSettings&) = delete;

 private:
  const bool on_gpu_;
  const bool deterministic_;
};

}  // namespace gsnake::backend
