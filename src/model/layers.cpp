#include "model/layers.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include <cmath>
#include <limits>

#include "model/fused.h"
#include "model/unit_context.h"
#include "plan/model_layout.h"

namespace gsnake::model {
namespace {

torch::Tensor meta(torch::IntArrayRef sizes) { return torch::empty(sizes, torch::dtype(torch::kFloat32).device(torch::kMeta)); }

}  // namespace

Embedding::Embedding(std::int64_t count, std::int64_t hidden) { weight_ = register_parameter("weight", meta({count, hidden})); }

torch::Tensor Embedding::forward(const torch::Tensor& ids) const {
  if (rows_ != nullptr) return rows_->gather(ids);
  if (const FusedOps* ops = fused_ops(ids)) return ops->embedding(weight_, ids);
  return torch::embedding(weight_, ids);
}

LayerNorm::LayerNorm(std::int64_t hidden, double epsilon) : hidden_(hidden), epsilon_(epsilon) {
  weight_ = register_parameter("weight", meta({hidden}));
  bias_ = register_parameter("bias", meta({hidden}));
}

torch::Tensor LayerNorm::forward(const torch::Tensor& x) const { return torch::layer_norm(x, {hidden_}, weight_, bias_, epsilon_); }

RmsNorm::RmsNorm(std::int64_t hidden, double epsilon) : epsilon_(epsilon) { weight_ = register_parameter("weight", meta({hidden})); }

torch::Tensor RmsNorm::forward(const torch::Tensor& x) const {
  if (const FusedOps* ops = fused_ops(x)) return ops->rms_norm(x, weight_, epsilon_);
  const torch::Tensor wide = x.to(torch::kFloat32);
  const torch::Tensor scale = torch::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + epsilon_);
  return weight_ * (wide * scale).to(x.scalar_type());
}

float scaled_frequency(float frequency, const RopeScaling& scaling) {
  const auto factor = static_cast<float>(scaling.factor);
  if (scaling.type == RopeScalingType::linear) return frequency / factor;
  if (scaling.type != RopeScalingType::llama3) return frequency;
  constexpr auto kTurn = static_cast<float>(2.0 * M_PI);
  const auto context = static_cast<float>(scaling.original_context);
  const auto low = static_cast<float>(scaling.low_freq_factor);
  const auto high = static_cast<float>(scaling.high_freq_factor);
  const float wavelength = kTurn / frequency;
  if (wavelength > context / low) return frequency / factor;
  if (wavelength < context / high) return frequency;
  const float smooth = (context / wavelength - low) / (high - low);
  return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

void RotaryEmbedding::make_tables(std::int64_t tokens, const torch::Device& device) {
  const std::int64_t half = head_dim_ / 2;
  const torch::Tensor cos = torch::empty({tokens, half});
  const torch::Tensor sin = torch::empty({tokens, half});
  auto* cos_data = cos.data_ptr<float>();
  auto* sin_data = sin.data_ptr<float>();
  for (std::int64_t i = 0; i < half; ++i) {
    // Frequency and angle are rounded to float as Hugging Face's are; the functions of the angle are taken in double, which no vector
    // library and no thread count changes.
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim_);
    const float frequency = scaled_frequency(1.0F / static_cast<float>(std::pow(theta_, static_cast<double>(exponent))), scaling_);
    for (std::int64_t position = 0; position < tokens; ++position) {
      const double angle = static_cast<float>(position) * frequency;
      cos_data[position * half + i] = static_cast<float>(std::cos(angle));
      sin_data[position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  cos_ = cos.to(device);
  sin_ = sin.to(device);
}

void RotaryEmbedding::ensure_tables(std::int64_t tokens, const torch::Device& device) {
  if (!cos_.defined() || cos_.size(0) < tokens || cos_.device() != device) make_tables(tokens, device);
}

torch::Tensor RotaryEmbedding::apply(const torch::Tensor& x) {
  const std::int64_t tokens = x.size(2);
  ensure_tables(tokens, x.device());
  const bool packed = !unit_context().starts.empty();
  if (const FusedOps* ops = packed ? nullptr : fused_ops(x)) return ops->rotary(x, cos_.narrow(0, 0, tokens), sin_.narrow(0, 0, tokens));
  const torch::Tensor positions = packed ? document_positions(x.size(0), tokens, x.device()).unsqueeze(1) : torch::Tensor();
  const torch::Tensor cos = (packed ? cos_.index({positions}) : cos_.narrow(0, 0, tokens)).to(x.scalar_type());
  const torch::Tensor sin = (packed ? sin_.index({positions}) : sin_.narrow(0, 0, tokens)).to(x.scalar_type());
  return turned(x, cos, sin);
}

torch::Tensor RotaryEmbedding::apply(const torch::Tensor& x, const TokenCache& cache) {
  ensure_tables(cache.most_positions(), x.device());
  const torch::Tensor cos = cos_.index_select(0, cache.positions());
  const torch::Tensor sin = sin_.index_select(0, cache.positions());
  if (const FusedOps* ops = fused_ops(x)) return ops->rotary(x, cos, sin);
  return turned(x, cos.to(x.scalar_type()), sin.to(x.scalar_type()));
}

torch::Tensor RotaryEmbedding::turned(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return torch::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

// Made where it is needed, of pieces of one sequence: nothing goes there from host memory.
torch::Tensor document_positions(std::int64_t rows, std::int64_t tokens, const torch::Device& device) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor all = torch::arange(tokens, torch::dtype(torch::kInt64).device(device));
  std::vector<torch::Tensor> documents;
  const auto starts = unit_context().starts;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::vector<std::int32_t>& begins = starts[static_cast<std::size_t>(row)];
    for (std::size_t i = 0; i < begins.size(); ++i) documents.push_back(all.narrow(0, 0, (i + 1 < begins.size() ? begins[i + 1] : tokens) - begins[i]));
  }
  return torch::cat(documents).view({rows, tokens});
}

torch::Tensor CausalAttention::apply(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout) {
  if (!unit_context().starts.empty()) return apply_to_each(q, k, v, dropout);
  return joined(attend(q, k, v, dropout));
}

torch::Tensor CausalAttention::apply_to_each(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout) {
  std::vector<torch::Tensor> rows;
  for (std::int64_t row = 0; row < q.size(0); ++row) {
    const std::vector<std::int32_t>& begins = unit_context().starts[static_cast<std::size_t>(row)];
    std::vector<std::int64_t> lengths;
    for (std::size_t i = 0; i < begins.size(); ++i) lengths.push_back((i + 1 < begins.size() ? begins[i + 1] : q.size(2)) - begins[i]);
    const auto parts = [&](const torch::Tensor& x) { return x.narrow(0, row, 1).split_with_sizes(lengths, 2); };
    const std::vector<torch::Tensor> queries = parts(q);
    const std::vector<torch::Tensor> keys = parts(k);
    const std::vector<torch::Tensor> values = parts(v);
    std::vector<torch::Tensor> documents;
    for (std::size_t i = 0; i < lengths.size(); ++i) documents.push_back(attend(queries[i], keys[i], values[i], dropout));
    rows.push_back(documents.size() == 1 ? documents[0] : torch::cat(documents, 2));
  }
  return joined(rows.size() == 1 ? rows[0] : torch::cat(rows, 0));
}

torch::Tensor CausalAttention::attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, double dropout) {
  const bool slides = window_ > 0 && window_ < q.size(2);
  const std::int64_t group = q.size(1) / k.size(1);
  const FusedOps* ops = group > 1 && !slides && q.scalar_type() != torch::kFloat32 ? fused_ops(q) : nullptr;
  if (ops != nullptr && ops->attends_in_groups(q.size(3))) {
    return at::scaled_dot_product_attention(q, k, v, {}, dropout, /*is_causal=*/true, /*scale=*/std::nullopt, /*enable_gqa=*/true);
  }
  // Repeating keys and values gives the bits of enable_gqa, and its backward is a quarter faster on the CPU.
  const torch::Tensor keys = group == 1 ? k : k.repeat_interleave(group, 1);
  const torch::Tensor values = group == 1 ? v : v.repeat_interleave(group, 1);
  return slides ? at::scaled_dot_product_attention(q, keys, values, mask(q), dropout, /*is_causal=*/false)
                : at::scaled_dot_product_attention(q, keys, values, {}, dropout, /*is_causal=*/true);
}

torch::Tensor CausalAttention::joined(const torch::Tensor& heads) {
  return heads.transpose(1, 2).reshape({heads.size(0), heads.size(2), heads.size(1) * heads.size(3)});
}

const torch::Tensor& CausalAttention::mask(const torch::Tensor& q) {
  const std::int64_t tokens = q.size(2);
  if (mask_.defined() && mask_.size(0) == tokens && mask_.scalar_type() == q.scalar_type() && mask_.device() == q.device()) return mask_;
  const torch::NoGradGuard no_grad;
  const torch::Tensor positions = torch::arange(tokens, torch::dtype(torch::kInt64).device(q.device()));
  const torch::Tensor distance = positions.unsqueeze(1) - positions.unsqueeze(0);  // of row i to column j: i - j
  const torch::Tensor hidden = distance.lt(0).logical_or(distance.ge(window_));
  mask_ = torch::zeros({tokens, tokens}, q.options()).masked_fill_(hidden, -std::numeric_limits<float>::infinity());
  return mask_;
}

void initialize_parameters(torch::nn::Module& module, double std, const std::string& skip) {
  const torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    torch::Tensor& parameter = item.value();
    if ((!skip.empty() && item.key() == skip) || plan::is_adapter_parameter(item.key())) continue;
    if (parameter.dim() >= 2) {
      parameter.normal_(0.0, std);
    } else {
      const bool is_scale = item.key() == "weight" || item.key().ends_with(".weight");
      parameter.fill_(is_scale ? 1.0 : 0.0);
    }
  }
}

}  // namespace gsnake::model
