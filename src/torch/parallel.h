// A loop on LibTorch's threads.
#pragma once

#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace gsnake::backend {

// Calls `body` with ranges that make up [0, count), at once on as many of the threads that LibTorch computes with as there are `grain` in it; on the caller alone
// where that is one, or where it is in such a loop already. Returns once all have been; what one of them throws is thrown here.
void parallel_for(std::int64_t count, std::int64_t grain, c10::function_ref<void(std::int64_t begin, std::int64_t end)> body);

// False in a build whose loop is the caller's alone: CMakeLists.txt has the causes.
bool loops_have_threads() noexcept;

}  // namespace gsnake::backend
