// What LibTorch allocates on the CPU while it computes a unit, counted and capped.
#pragma once

#include <cstdint>
#include <functional>

#include "greedysnake/error.h"

namespace gsnake::backend {

// Replaces LibTorch's CPU allocator for the whole process at the first call. Outside a MeteredScope it only allocates. Thread-safe.
void install_torch_allocator();

struct TorchMemoryMeter {
  std::int64_t in_use_bytes = 0;
  std::int64_t peak_bytes = 0;
  std::int64_t cap_bytes = 0;                   // beyond it an allocation throws CapExceeded; 0: no cap
  const std::function<void()>* told = nullptr;  // of every allocation, before it; what it throws leaves the operation that asked for memory
};

class CapExceeded : public Error {
 public:
  CapExceeded(std::uint64_t needed_bytes, std::uint64_t cap_bytes);
};

// While it lives, what this thread allocates and frees through LibTorch goes by the meter. (On the CPU, backward runs on the thread that calls it.)
class MeteredScope {
 public:
  explicit MeteredScope(TorchMemoryMeter& meter);
  ~MeteredScope();
  MeteredScope(const MeteredScope&) = delete;
  MeteredScope& operator=(const MeteredScope&) = delete;

 private:
  TorchMemoryMeter* outer_;
};

}  // namespace gsnake::backend
