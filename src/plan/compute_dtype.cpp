#include "plan/compute_dtype.h"

namespace gsnake::plan {

bool cpu_has_bf16_units() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

Dtype resolve_compute_dtype(Dtype dtype, ComputeDtype compute_dtype, bool bf16_units) {
  const bool is_native = dtype == Dtype::bf16 && compute_dtype == ComputeDtype::automatic && bf16_units;
  return is_native ? Dtype::bf16 : Dtype::fp32;
}

}  // namespace gsnake::plan
