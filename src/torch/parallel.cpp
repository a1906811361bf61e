#include "torch/parallel.h"

#include <ATen/Parallel.h>

// LibTorch's loop is a template that leaves its threads out, without a word, where it isn't compiled for OpenMP.
#if !defined(_OPENMP) && !defined(GSNAKE_ONE_THREAD)
#error "compile this with OpenMP"
#endif

namespace gsnake::backend {

void parallel_for(std::int64_t count, std::int64_t grain, c10::function_ref<void(std::int64_t begin, std::int64_t end)> body) { at::parallel_for(0, count, grain, body); }

bool loops_have_threads() noexcept {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

}  // namespace gsnake::backend
