// What a device computes in, beside how weights and hidden states are stored.
#pragma once

#include <cstdint>

#include "greedysnake/config.h"

namespace gsnake::plan {

// Whether this CPU multiplies bf16 matrices in hardware (AVX512-BF16, which every CPU with AMX-BF16 has too); without, LibTorch emulates
// it, 60 times slower.
bool cpu_has_bf16_units();

// What a device multiplies in hardware beside fp32.
struct NativeDtypes {
  bool bf16 = false;
  bool fp16 = false;
};
// Of memory.device: a GPU has both, a CPU bf16 at best.
NativeDtypes native_dtypes(const Config& config);

// Pure: `dtype` is train.dtype, `compute_dtype` is train.compute_dtype. By default a dtype is computed in where it is native, and in fp32 on
// widened weights elsewhere (docs/models.md has the measurement). The answer is part of the maths: a run that resumes on another device must
// keep the one it started with.
Dtype resolve_compute_dtype(Dtype dtype, ComputeDtype compute_dtype, NativeDtypes native);

constexpr std::uint64_t dtype_bytes(Dtype dtype) { return dtype == Dtype::fp32 ? 4 : 2; }

}  // namespace gsnake::plan
