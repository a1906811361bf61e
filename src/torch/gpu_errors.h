// What LibTorch throws of a GPU, as this library's errors.
#pragma once

#include <string>

namespace gsnake::backend {

// Inside a catch block, of what a unit's operations on `device` ("cuda:0") threw. Throws Error(budget) where LibTorch's allocator came to its cap, Error(device) where
// the GPU, its driver or a library of it failed, and else what it was.
[[noreturn]] void rethrow_of_gpu(const std::string& device);

}  // namespace gsnake::backend
