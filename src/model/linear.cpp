#include "model/linear.h"

#include <cmath>

#include "model/fused.h"
#include "model/unit_context.h"

namespace gsnake::model {
namespace {

namespace F = torch::nn::functional;

torch::Tensor meta(torch::IntArrayRef sizes) { return torch::empty(sizes, torch::dtype(torch::kFloat32).device(torch::kMeta)); }

torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias = {}) {
  if (const FusedOps* ops = fused_ops(x)) return ops->linear(x, weight, bias);
  return F::linear(x, weight, bias);
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool bias) {
  weight_ = register_parameter("weight", meta({out, in}));
  if (bias) bias_ = register_parameter("bias", meta({out}));
}

void Linear::add_adapter(const AdapterShape& shape) {
  adapter_ = shape;
  a_ = register_parameter(kAdapterA, meta({shape.rank, weight_.size(1)}));
  b_ = register_parameter(kAdapterB, meta({weight_.size(0), shape.rank}));
  if (shape.magnitude) magnitude_ = register_parameter(kAdapterMagnitude, meta({weight_.size(0)}));
}

void Linear::initialize_adapter() {
  if (!a_.defined()) return;
  const torch::NoGradGuard no_grad;
  const double bound = 1.0 / std::sqrt(static_cast<double>(a_.size(1)));
  a_.uniform_(-bound, bound);
  b_.zero_();
}

torch::Tensor Linear::base(const torch::Tensor& x, const torch::Tensor& bias) const {
  return rows_ != nullptr ? frozen_linear(x, *rows_, bias) : product(x, weight_, bias);
}

torch::Tensor Linear::forward(const torch::Tensor& x) const {
  if (!a_.defined() || !unit_context().adapters) return base(x, bias_);
  const torch::Tensor in = adapter_.dropout > 0.0 ? torch::dropout(x, adapter_.dropout, is_training()) : x;
  const torch::Tensor low = product(product(in, a_), b_) * adapter_.scaling;
  if (!magnitude_.defined()) return base(x, bias_) + low;
  const torch::Tensor factor = (magnitude_ / adapted_lengths()).to(x.scalar_type());
  // As PEFT has it: what is dropped is dropped for all that the adapter changes.
  const bool drops = adapter_.dropout > 0.0 && is_training();
  const torch::Tensor y = drops ? base(x, {}) + (factor - 1) * base(in, {}) + factor * low : factor * (base(x, {}) + low);
  return bias_.defined() ? y + bias_ : y;
}

torch::Tensor Linear::adapted_lengths() const {
  const torch::NoGradGuard no_grad;
  if (rows_ == nullptr) return row_lengths(weight_ + adapter_.scaling * torch::mm(b_, a_));
  torch::Tensor lengths = torch::empty({rows_->rows()}, torch::dtype(torch::kFloat32).device(a_.device()));
  const std::int64_t most = rows_->rows_at_once();
  for (std::int64_t first = 0; first < rows_->rows(); first += most) {
    const std::int64_t count = std::min(most, rows_->rows() - first);
    const torch::Tensor part = rows_->take(first, count) + adapter_.scaling * torch::mm(b_.narrow(0, first, count), a_);
    lengths.narrow(0, first, count).copy_(row_lengths(part));
  }
  return lengths;
}

torch::Tensor row_lengths(const torch::Tensor& matrix) { return torch::linalg_vector_norm(matrix.to(torch::kFloat32), 2, {1}); }

}  // namespace gsnake::model
