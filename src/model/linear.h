// A linear layer, and the adapter that may be trained beside it.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "model/frozen_rows.h"

namespace gsnake::model {

struct AdapterShape {
  std::int64_t rank = 0;
  double scaling = 1.0;
  double dropout = 0.0;    // of what goes into it
  bool magnitude = false;  // DoRA
};

// Of adapters' parameters (plan::is_adapter_parameter()).
inline constexpr const char* kAdapterA = "lora_A";
inline constexpr const char* kAdapterB = "lora_B";
inline constexpr const char* kAdapterMagnitude = "lora_magnitude_vector";
// y = x W^T + b; weight (out, in), bias (out) if `bias`. With an adapter (Hu et al., 2021) y + scaling (x A^T) B^T; with magnitudes m (DoRA, Liu et
// al., 2024) the rows of W + scaling B A are as long as m says, their own lengths taken for constants.
class Linear : public torch::nn::Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool bias);
  [[nodiscard]] torch::Tensor forward(const torch::Tensor& x) const;

  // Registers lora_A (rank, in), lora_B (out, rank) and, with magnitude, lora_magnitude_vector (out).
  void add_adapter(const AdapterShape& shape);
  // Normal start: A uniform in +-1/sqrt(in), B zero, so that the layer computes what it did; magnitudes are left alone (row_lengths()).
  void initialize_adapter();
  // In place of the weight's values from now on; null: these again. Borrowed.
  void set_rows(const FrozenRows* rows) { rows_ = rows; }

 private:
  [[nodiscard]] torch::Tensor base(const torch::Tensor& x, const torch::Tensor& bias) const;
  [[nodiscard]] torch::Tensor adapted_lengths() const;

  torch::Tensor weight_;
  torch::Tensor bias_;
  const FrozenRows* rows_ = nullptr;
  AdapterShape adapter_;
  torch::Tensor a_;
  torch::Tensor b_;
  torch::Tensor magnitude_;
};

// Of a matrix' rows: (rows), fp32.
torch::Tensor row_lengths(const torch::Tensor& matrix);

}  // namespace gsnake::model
