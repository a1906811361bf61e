// What LibTorch allocates on the CPU, counted and capped.
#pragma once

#include <cstdint>

namespace gsnake::train {

// Replaces LibTorch's CPU allocator for the whole process at the first call. Thread-safe.
void install_torch_allocator();

// Beyond `bytes` in use an allocation throws Error(budget). 0: no cap.
void cap_torch_memory(std::uint64_t bytes);
[[nodiscard]] std::uint64_t torch_memory_in_use();
// The most in use since the last reset.
[[nodiscard]] std::uint64_t torch_memory_peak();
void reset_torch_memory_peak();

}  // namespace gsnake::train
