#include "plan/compute_dtype.h"

namespace gsnake::plan {

bool cpu_has_bf16_units() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

NativeDtypes native_dtypes(const Config& config) {
  const bool is_gpu = config.memory.device != "cpu";
  return {is_gpu || cpu_has_bf16_units(), is_gpu};
}

Dtype resolve_compute_dtype(Dtype dtype, ComputeDtype compute_dtype, NativeDtypes native) {
  const bool is_native = (dtype == Dtype::bf16 && native.bf16) || (dtype == Dtype::fp16 && native.fp16);
  return is_native && compute_dtype == ComputeDtype::automatic ? dtype : Dtype::fp32;
}

}  // namespace gsnake::plan
