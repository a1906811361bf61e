#include "cuda/torch/functions.h"

#include "cuda/torch/launching.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding_gradient.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"

namespace gsnake::cuda {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// weight's gradient += of^T x, in fp32, by one product.
void add_product(Tensor& sum, const Tensor& of, const Tensor& x) {
  if (of.scalar_type() == at::kFloat) {
    sum.addmm_(of.t(), x);
  } else {
    at::addmm_out(sum, sum, of.t(), x, at::kFloat);
  }
}

class LinearFunction : public Function<LinearFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
    context->save_for_backward({x, weight, bias.value_or(Tensor())});
    return at::linear(x, weight, bias);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& bias = saved[2];
    const Tensor of = gradients[0].reshape({-1, weight.size(0)});
    variable_list result(3);
    if (context->needs_input_grad(1)) {
      WeightGradient gradient(weight);
      add_product(gradient.sum, of, x.reshape({-1, weight.size(1)}));
      result[1] = gradient.returned(weight);
    }
    if (bias.defined() && context->needs_input_grad(2)) {
      WeightGradient gradient(bias);
      gradient.sum.add_(of.sum(0, /*keepdim=*/false, at::kFloat));
      result[2] = gradient.returned(bias);
    }
    if (context->needs_input_grad(0)) result[0] = gradients[0].matmul(weight);
    return result;
  }
};

class EmbeddingFunction : public Function<EmbeddingFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& weight, const Tensor& ids) {
    context->save_for_backward({weight, ids});
    return at::embedding(weight, ids);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& weight = saved[0];
    const Tensor ids = saved[1].contiguous();
    const Tensor of = gradients[0].contiguous();
    WeightGradient gradient(weight);
    const kernels::EmbeddingShape shape{ids.numel(), weight.size(1), weight.size(0), dtype_of(of)};
    const Tensor space = workspace(kernels::embedding_workspace_bytes(shape), weight);
    C10_CUDA_CHECK(kernels::embedding_gradient(shape, ids.const_data_ptr<std::int64_t>(), of.const_data_ptr(), gradient.sum.mutable_data_ptr<float>(), space.mutable_data_ptr(),
                                               current_stream(weight)));
    return {gradient.returned(weight), Tensor()};
  }
};

kernels::RmsNormShape norm_shape(const Tensor& x, double epsilon) {
  const std::int64_t hidden = x.size(-1);
  return {hidden == 0 ? 0 : x.numel() / hidden, hidden, static_cast<float>(epsilon), dtype_of(x)};
}

class RmsNormFunction : public Function<RmsNormFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight, double epsilon) {
    const Tensor x = given.contiguous();
    const kernels::RmsNormShape shape = norm_shape(x, epsilon);
    Tensor y = torch::empty_like(x);
    Tensor scale = torch::empty({shape.rows}, x.options().dtype(torch::kFloat32));
    C10_CUDA_CHECK(kernels::rms_norm_forward(shape, x.const_data_ptr(), weight.const_data_ptr(), y.mutable_data_ptr(), scale.mutable_data_ptr<float>(), current_stream(x)));
    context->save_for_backward({x, weight, scale});
    context->saved_data["epsilon"] = epsilon;
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const kernels::RmsNormShape shape = norm_shape(x, context->saved_data["epsilon"].toDouble());
    const Tensor of = gradients[0].contiguous();
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = torch::empty_like(x);
    std::optional<WeightGradient> gradient;
    Tensor space;
    if (context->needs_input_grad(1)) {
      gradient.emplace(weight);
      space = workspace(kernels::rms_norm_workspace_bytes(shape), x);
    }
    C10_CUDA_CHECK(kernels::rms_norm_backward(shape, x.const_data_ptr(), weight.const_data_ptr(), saved[2].const_data_ptr<float>(), of.const_data_ptr(),
                                              result[0].defined() ? result[0].mutable_data_ptr() : nullptr, gradient ? gradient->sum.mutable_data_ptr<float>() : nullptr,
                                              space.defined() ? space.mutable_data_ptr() : nullptr, current_stream(x)));
    if (gradient) result[1] = gradient->returned(weight);
    return result;
  }
};

kernels::HeadStrides strides_of(const Tensor& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }
kernels::RotaryShape rotary_shape(const Tensor& x) { return {x.size(0), x.size(1), x.size(2), x.size(3), dtype_of(x)}; }
// (rows, heads, tokens, head_dim) in the order of memory that attention likes: tokens outside heads.
Tensor heads_like(const Tensor& x) { return torch::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2); }
Tensor with_whole_heads(const Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

class RotaryFunction : public Function<RotaryFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& cos, const Tensor& sin) {
    const Tensor x = with_whole_heads(given);
    Tensor y = heads_like(x);
    C10_CUDA_CHECK(kernels::rotary_forward(rotary_shape(x), x.const_data_ptr(), strides_of(x), cos.const_data_ptr<float>(), sin.const_data_ptr<float>(), y.mutable_data_ptr(),
                                           strides_of(y), current_stream(x)));
    context->save_for_backward({cos, sin});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor of = with_whole_heads(gradients[0]);
    Tensor result = heads_like(of);
    C10_CUDA_CHECK(kernels::rotary_backward(rotary_shape(of), of.const_data_ptr(), strides_of(of), saved[0].const_data_ptr<float>(), saved[1].const_data_ptr<float>(),
                                            result.mutable_data_ptr(), strides_of(result), current_stream(of)));
    return {result, Tensor(), Tensor()};
  }
};

class SwiGluFunction : public Function<SwiGluFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given_gate, const Tensor& given_up) {
    const Tensor gate = given_gate.contiguous();
    const Tensor up = given_up.contiguous();
    Tensor y = torch::empty_like(gate);
    C10_CUDA_CHECK(kernels::swiglu_forward(gate.const_data_ptr(), up.const_data_ptr(), y.mutable_data_ptr(), dtype_of(gate), gate.numel(), current_stream(gate)));
    context->save_for_backward({gate, up});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor of = gradients[0].contiguous();
    Tensor of_gate = torch::empty_like(saved[0]);
    Tensor of_up = torch::empty_like(saved[0]);
    C10_CUDA_CHECK(kernels::swiglu_backward(saved[0].const_data_ptr(), saved[1].const_data_ptr(), of.const_data_ptr(), of_gate.mutable_data_ptr(), of_up.mutable_data_ptr(),
                                            dtype_of(of), of.numel(), current_stream(of)));
    return {of_gate, of_up};
  }
};

}  // namespace

Tensor fused_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return LinearFunction::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt); }
Tensor fused_embedding(const Tensor& weight, const Tensor& ids) { return EmbeddingFunction::apply(weight, ids); }
Tensor fused_rms_norm(const Tensor& x, const Tensor& weight, double epsilon) { return RmsNormFunction::apply(x, weight, epsilon); }
Tensor fused_rotary(const Tensor& x, const Tensor& cos, const Tensor& sin) { return RotaryFunction::apply(x, cos, sin); }
Tensor fused_swiglu(const Tensor& gate, const Tensor& up) { return SwiGluFunction::apply(gate, up); }

void fused_head_loss(Tensor& logits, const Tensor& labels, float scale, float gradient_factor, Tensor& loss) {
  kernels::CrossEntropyShape shape;
  shape.rows = logits.size(0);
  shape.vocab = logits.size(1);
  shape.dtype = dtype_of(logits);
  const Tensor space = workspace(kernels::cross_entropy_workspace_bytes(shape), logits);
  const Tensor ids = labels.contiguous();
  C10_CUDA_CHECK(kernels::cross_entropy(shape, logits.mutable_data_ptr(), ids.const_data_ptr<std::int64_t>(), scale, gradient_factor, loss.mutable_data_ptr<double>(),
                                        space.mutable_data_ptr(), current_stream(logits)));
}

}  // namespace gsnake::cuda
