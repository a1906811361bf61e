#include "torch/dtype.h"

namespace gsnake::backend {

at::ScalarType scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return at::kBFloat16;
    case Dtype::fp16:
      return at::kHalf;
    case Dtype::fp32:
      break;
  }
  return at::kFloat;
}

const char* dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "fp32";
    case at::kBFloat16:
      return "bf16";
    case at::kHalf:
      return "fp16";
    default:
      return "?";
  }
}

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

}  // namespace gsnake::backend
