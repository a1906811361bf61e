#include "model/frozen_rows.h"

#include <algorithm>
#include <optional>

#include "plan/model_layout.h"

namespace gsnake::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kElementsAtOnce = static_cast<std::int64_t>(plan::kDequantisedAtOnce);

template <typename Body>
void for_each_part(const FrozenRows& weight, Body&& body) {
  const std::int64_t most = weight.rows_at_once();
  for (std::int64_t first = 0; first < weight.rows(); first += most) body(first, std::min(most, weight.rows() - first));
}

struct Product : torch::autograd::Function<Product> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const FrozenRows* weight, const std::optional<torch::Tensor>& bias) {
    context->saved_data["weight"] = reinterpret_cast<std::int64_t>(weight);
    const torch::Tensor flat = x.reshape({-1, weight->columns()});
    torch::Tensor y = torch::empty({flat.size(0), weight->rows()}, x.options());
    for_each_part(*weight, [&](std::int64_t first, std::int64_t count) {
      torch::Tensor part = y.narrow(1, first, count);
      const torch::Tensor rows = weight->take(first, count);
      if (bias) {
        at::addmm_out(part, bias->narrow(0, first, count), flat, rows.t());
      } else {
        at::mm_out(part, flat, rows.t());
      }
    });
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes.back() = weight->rows();
    return y.view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* weight = reinterpret_cast<const FrozenRows*>(context->saved_data["weight"].toInt());
    const torch::Tensor flat = gradients[0].reshape({-1, weight->rows()});
    torch::Tensor sum;
    for_each_part(*weight, [&](std::int64_t first, std::int64_t count) {
      const torch::Tensor part = torch::mm(flat.narrow(1, first, count), weight->take(first, count));
      if (first == 0) {
        // Of several parts, in fp32: rounding each to 16 bits would add up.
        sum = count == weight->rows() ? part : part.to(torch::kFloat32);
      } else {
        sum.add_(part);
      }
    });
    sum = sum.to(flat.scalar_type());
    std::vector<std::int64_t> sizes = gradients[0].sizes().vec();
    sizes.back() = weight->columns();
    return {sum.view(sizes), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

std::int64_t FrozenRows::rows_at_once() const { return std::clamp<std::int64_t>(kElementsAtOnce / columns(), 1, rows()); }

torch::Tensor frozen_linear(const torch::Tensor& x, const FrozenRows& weight, const torch::Tensor& bias) {
  return Product::apply(x, &weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace gsnake::model
