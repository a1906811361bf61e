// Operators that only CUDA has, by what the CPU has in their place. Attention is the CPU's flash attention, so that its bits are the CPU's;
// with dropout it is spelt out, the mask made again from the seed that forward saved.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cmath>
#include <unordered_map>

#include "gpu/operation.h"

namespace gsnake::fake_gpu {
namespace {

using at::Tensor;

std::optional<Tensor> optional_tensor(const c10::IValue& value) {
  const Tensor tensor = value.isNone() ? Tensor() : value.toTensor();
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}
std::optional<double> optional_number(const c10::IValue& value) { return value.isNone() ? std::nullopt : std::optional(value.toDouble()); }

struct Attention {
  Tensor query;
  Tensor key;
  Tensor value;
  std::optional<Tensor> bias;
  double dropout = 0.0;
  bool causal = false;
  std::optional<double> scale;
};

// With autograd where it is on.
Tensor spelt_out(const Attention& a, std::int64_t seed) {
  Tensor scores = at::matmul(a.query, a.key.transpose(-2, -1)) * a.scale.value_or(1.0 / std::sqrt(static_cast<double>(a.query.size(-1))));
  if (a.causal) scores = scores.masked_fill(at::ones({a.query.size(-2), a.key.size(-2)}, at::kBool).tril().logical_not(), -INFINITY);
  if (a.bias) scores = scores + *a.bias;
  const Tensor kept = at::empty(scores.sizes(), scores.options().requires_grad(false)).bernoulli_(1 - a.dropout, at::make_generator<at::CPUGeneratorImpl>(seed));
  return at::matmul(at::softmax(scores, -1) * (kept / (1 - a.dropout)), a.value);
}

struct Attended {
  Tensor output;
  Tensor log_sum;
  Tensor seed;
};

Attended attend(const Attention& a) {
  Attended result;
  result.seed = at::zeros({2}, at::kLong);
  if (a.dropout == 0.0) {
    std::tie(result.output, result.log_sum) = at::_scaled_dot_product_flash_attention_for_cpu(a.query, a.key, a.value, 0.0, a.causal, a.bias, a.scale);
    return result;
  }
  result.seed.random_();
  result.output = spelt_out(a, *result.seed.data_ptr<std::int64_t>()).transpose(1, 2).contiguous().transpose(1, 2);
  result.log_sum = at::zeros({a.query.size(0), a.query.size(1), a.query.size(2)}, at::kFloat);
  return result;
}

std::vector<Tensor> attend_backward(const Attention& a, const Tensor& gradient, const Attended& forward) {
  if (a.dropout == 0.0) {
    const auto [query, key, value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(gradient, a.query, a.key, a.value, forward.output, forward.log_sum, 0.0,
                                                                                              a.causal, a.bias, a.scale);
    return {query, key, value};
  }
  const c10::impl::ForceDispatchKeyGuard as_at_the_top(c10::default_included_set, c10::default_excluded_set);
  const at::AutoGradMode with_grad(true);
  const auto leaf = [](const Tensor& tensor) { return tensor.detach().requires_grad_(true); };
  const Attention leaves{leaf(a.query), leaf(a.key), leaf(a.value), a.bias, a.dropout, a.causal, a.scale};
  return torch::autograd::grad({spelt_out(leaves, *forward.seed.data_ptr<std::int64_t>())}, {leaves.query, leaves.key, leaves.value}, {gradient});
}

// query key value dropout causal debug_mask scale
void flash(Stack& stack) {
  const Attention a{stack[0].toTensor(), stack[1].toTensor(), stack[2].toTensor(), {}, stack[3].toDouble(), stack[4].toBool(), optional_number(stack[6])};
  const Attended result = attend(a);
  stack.clear();
  stack.emplace_back(result.output);
  stack.emplace_back(result.log_sum);
  stack.emplace_back(Tensor());
  stack.emplace_back(Tensor());
  stack.emplace_back(a.query.size(2));
  stack.emplace_back(a.key.size(2));
  stack.emplace_back(result.seed);
  stack.emplace_back(at::zeros({}, at::kLong));
  stack.emplace_back(at::empty({0}, a.query.options()));
}

void put_gradients(Stack& stack, const std::vector<Tensor>& gradients) {
  stack.clear();
  for (const Tensor& gradient : gradients) stack.emplace_back(gradient);
}

// gradient query key value output log_sum cumulated_query cumulated_key longest_query longest_key dropout causal seed offset scale
void flash_backward(Stack& stack) {
  const Attention a{stack[1].toTensor(), stack[2].toTensor(), stack[3].toTensor(), {}, stack[10].toDouble(), stack[11].toBool(), optional_number(stack[14])};
  put_gradients(stack, attend_backward(a, stack[0].toTensor(), {stack[4].toTensor(), stack[5].toTensor(), stack[12].toTensor()}));
}

// query key value bias log_sum_wanted dropout causal scale
void efficient(Stack& stack) {
  const Attention a{stack[0].toTensor(), stack[1].toTensor(), stack[2].toTensor(), optional_tensor(stack[3]), stack[5].toDouble(), stack[6].toBool(), optional_number(stack[7])};
  const Attended result = attend(a);
  stack.clear();
  stack.emplace_back(result.output);
  stack.emplace_back(result.log_sum);
  stack.emplace_back(result.seed);
  stack.emplace_back(at::zeros({}, at::kLong));
}

// gradient query key value bias output log_sum seed offset dropout wanted causal scale
void efficient_backward(Stack& stack) {
  TORCH_CHECK(!stack[10].toBoolList()[3], "fake GPU: no gradient of an attention's bias");
  const Attention a{stack[1].toTensor(), stack[2].toTensor(), stack[3].toTensor(), optional_tensor(stack[4]), stack[9].toDouble(), stack[11].toBool(), optional_number(stack[12])};
  put_gradients(stack, attend_backward(a, stack[0].toTensor(), {stack[5].toTensor(), stack[6].toTensor(), stack[7].toTensor()}));
  stack.emplace_back(Tensor());
}

// self mat1 mat2 out_dtype beta alpha out: a product of 16-bit matrices in fp32
void wide_product(Stack& stack) {
  const Tensor product = at::matmul(stack[1].toTensor().to(at::kFloat), stack[2].toTensor().to(at::kFloat));
  Tensor out = stack[6].toTensor();
  out.copy_(stack[0].toTensor() * stack[4].toScalar() + product * stack[5].toScalar());
  stack.clear();
  stack.emplace_back(out);
}

}  // namespace

OnCpu stand_in_for(const std::string& name) {
  static const std::unordered_map<std::string, OnCpu> all{{"aten::_scaled_dot_product_flash_attention", flash},
                                                          {"aten::_scaled_dot_product_flash_attention_backward", flash_backward},
                                                          {"aten::_scaled_dot_product_efficient_attention", efficient},
                                                          {"aten::_scaled_dot_product_efficient_attention_backward", efficient_backward},
                                                          {"aten::addmm.dtype_out", wide_product}};
  const auto found = all.find(name);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace gsnake::fake_gpu
