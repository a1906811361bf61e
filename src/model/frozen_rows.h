// A matrix that is not trained and whose values are made when they are asked for, of bytes that are packed.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace gsnake::model {

// (rows, columns), in the compute dtype. What is returned shares memory with the matrix and is valid until the next call.
class FrozenRows {
 public:
  virtual ~FrozenRows() = default;
  [[nodiscard]] virtual std::int64_t rows() const = 0;
  [[nodiscard]] virtual std::int64_t columns() const = 0;
  // Rows [first, first + count): (count, columns), contiguous.
  [[nodiscard]] virtual torch::Tensor take(std::int64_t first, std::int64_t count) const = 0;
  // Of ids of any shape: one more dimension. A copy.
  [[nodiscard]] virtual torch::Tensor gather(const torch::Tensor& ids) const = 0;

  // Rows that are multiplied with at once: part of the maths, since a product's gradient is summed over them in turn.
  [[nodiscard]] std::int64_t rows_at_once() const;
};

// x W^T + bias of x (..., columns); bias (rows) or undefined. Autograd gives x its gradient, asking for the rows again.
torch::Tensor frozen_linear(const torch::Tensor& x, const FrozenRows& weight, const torch::Tensor& bias);

}  // namespace gsnake::model
