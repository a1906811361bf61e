#include "torch/dtype.h"

#include "greedysnake/error.h"

namespace gsnake::backend {

at::ScalarType dtype_of(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  throw Error(ErrorKind::usage, "train.dtype = \"" + name + "\": must be \"fp32\", \"bf16\" or \"fp16\"");
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

at::ScalarType resolve_compute_dtype(const std::string& dtype, const std::string& compute_dtype, bool bf16_units) {
  if (compute_dtype != "auto" && compute_dtype != "fp32") {
    throw Error(ErrorKind::usage, "train.compute_dtype = \"" + compute_dtype + "\": must be \"auto\" or \"fp32\"");
  }
  const bool is_native = dtype_of(dtype) == at::kBFloat16 && compute_dtype == "auto" && bf16_units;
  return is_native ? at::kBFloat16 : at::kFloat;
}

}  // namespace gsnake::backend
