// What the CPU device computes in, beside how weights and hidden states are stored.
#pragma once

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::plan {

// Whether this CPU multiplies bf16 matrices in hardware (AVX512-BF16, which every CPU with AMX-BF16 has too); without, LibTorch emulates
// it, 60 times slower.
bool cpu_has_bf16_units();

// Pure: `dtype` is train.dtype, `compute_dtype` is train.compute_dtype. bf16 is computed in bf16 by default where `bf16_units`, and in fp32
// on widened weights elsewhere (docs/models.md has the measurement); fp32 and fp16 always in fp32. The answer is part of the maths: a run
// that resumes on another CPU must keep the one it started with.
Dtype resolve_compute_dtype(Dtype dtype, ComputeDtype compute_dtype, bool bf16_units);

constexpr std::uint64_t dtype_bytes(Dtype dtype) { return dtype == Dtype::fp32 ? 4 : 2; }

}  // namespace gsnake::plan
