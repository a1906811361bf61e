// Packed weights back to numbers, on the device that computes.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace gsnake::backend {

// A packed matrix (or, of one column, a vector) in memory of the device.
struct PackedTensor {
  quant::Format format = quant::Format::fp32;
  const std::byte* at = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 1;

  [[nodiscard]] std::int64_t elements() const { return rows * columns; }
};

// The same bits on every device. On a GPU, work is launched on LibTorch's current stream and nothing waits.
class PackedOps {
 public:
  virtual ~PackedOps() = default;
  // Elements [first, first + count) in fp32 or bf16 (`dtype`), at `out` in the device's memory.
  virtual void dequantise(const PackedTensor& tensor, std::int64_t first, std::int64_t count, at::ScalarType dtype, std::byte* out) const = 0;
  // ids int64 (count), contiguous; out (count, columns), contiguous, fp32 or bf16. An id that no row has: Error(usage) on the CPU, a row of NaN on a GPU.
  virtual void gather(const PackedTensor& tensor, const torch::Tensor& ids, torch::Tensor& out) const = 0;
};

// The CPU's: all of LibTorch's threads.
const PackedOps& cpu_packed_ops();

}  // namespace gsnake::backend
