// Packed frozen weights back to fp32 or bf16: the formats of src/quant/format.h, with the bits of quant::dequantise() on x86-64.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "greedysnake/choices.h"

namespace gsnake::kernels {

// As quant::Format has them, by the same numbers.
enum class PackedFormat : std::uint8_t { fp32, bf16, int8, nf4, mxfp4 };

// Of both launchers: `packed` is all of a packed tensor, `out` fp32 or bf16 (`dtype`), to nearest, ties to even; device pointers, out not overlapping what is
// read. packed is aligned to 4 bytes, out as its type is. Faster: packed aligned to 32 bytes, and out where an element whose index is a multiple of 8 (bf16)
// or 4 (fp32) lands aligned to 16. In stream order, nothing is read on the host; returns what the launch returned, cudaErrorInvalidValue for what the tensor
// does not have and for another dtype. The CPU's bits include infinities and NaNs, but where a second-level number of nf4 is itself a NaN, values are
// some NaN; no packer writes that.

struct DequantiseCall {
  PackedFormat format = PackedFormat::fp32;
  const void* packed = nullptr;
  std::int64_t elements = 0;  // of the tensor
  std::int64_t first = 0;     // elements [first, first + count) become out[0 .. count)
  std::int64_t count = 0;
  void* out = nullptr;
  Dtype dtype = Dtype::bf16;
};
cudaError_t dequantise(const DequantiseCall& call, cudaStream_t stream);

struct GatherCall {
  PackedFormat format = PackedFormat::fp32;
  const void* packed = nullptr;  // (rows, columns)
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const std::int64_t* ids = nullptr;  // (count)
  std::int64_t count = 0;
  void* out = nullptr;  // (count, columns)
  Dtype dtype = Dtype::bf16;
};
// out[i] = row ids[i]. An id outside the table reads nothing, and its row becomes NaN, so that it cannot pass for a weight. Faster where columns are a
// multiple of 8 (bf16) or 4 (fp32).
cudaError_t gather(const GatherCall& call, cudaStream_t stream);

}  // namespace gsnake::kernels
