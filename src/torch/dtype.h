// Two dtypes of a run: how weights and hidden states are stored, and what modules compute in.
#pragma once

#include <c10/core/ScalarType.h>

#include "greedysnake/choices.h"

namespace gsnake::backend {

at::ScalarType scalar_type(Dtype dtype);
// The config's word for it; "?" for a dtype that no config has.
const char* dtype_name(at::ScalarType dtype);

// Whether this CPU multiplies bf16 matrices in hardware (AVX512-BF16, which every CPU with AMX-BF16 has too); without, LibTorch emulates
// it, 60 times slower.
bool cpu_has_bf16_units();

// What the CPU device computes in. Pure: `dtype` is train.dtype, `compute_dtype` is train.compute_dtype. bf16 is computed in bf16 by default
// where `bf16_units`, and in fp32 on widened weights elsewhere (docs/models.md has the measurement); fp32 and fp16 always in fp32. The answer is
// part of the maths: a run that resumes on another CPU must keep the one it started with.
Dtype resolve_compute_dtype(Dtype dtype, ComputeDtype compute_dtype, bool bf16_units);

}  // namespace gsnake::backend
