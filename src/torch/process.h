// What LibTorch is told for the whole process while trainers and generators live there, and told back when the last of them ends.
#pragma once

#include <memory>

#include "torch/memory.h"

namespace gsnake::backend {

// How many threads compute: a thread of LibTorch's that is new takes that number on. Also our allocator.
class ProcessSettings {
 public:
  // Those that are in force, if there are any. Throws Error(usage) where these are for another number of threads: bits depend on it.
  [[nodiscard]] static std::shared_ptr<const ProcessSettings> use(int threads);
  ~ProcessSettings();
  ProcessSettings(const ProcessSettings&) = delete;
  ProcessSettings& operator=(const ProcessSettings&) = delete;

 private:
  explicit ProcessSettings(int threads);

  TorchAllocator allocator_;
  int threads_;
};

}  // namespace gsnake::backend
