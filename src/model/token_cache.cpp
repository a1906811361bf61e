#include "model/token_cache.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <limits>

#include "greedysnake/error.h"
#include "model/layers.h"

namespace gsnake::model {
namespace {

// That attend to kept keys at once: their mask has as many rows for every query head of a group.
constexpr std::int64_t kQueriesAtOnce = 64;

// 0 where query i, at position `first` + i, attends to key j, at position `from` + j, else -infinity: (queries, keys).
torch::Tensor mask(const torch::Tensor& like, std::int64_t first, std::int64_t queries, std::int64_t from, std::int64_t keys, std::int64_t window) {
  const auto options = torch::dtype(torch::kInt64).device(like.device());
  const torch::Tensor distance = torch::arange(first, first + queries, options).unsqueeze(1) - torch::arange(from, from + keys, options).unsqueeze(0);
  torch::Tensor hidden = distance.lt(0);
  if (window > 0) hidden = hidden.logical_or(distance.ge(window));
  return torch::zeros({queries, keys}, like.options()).masked_fill_(hidden, -std::numeric_limits<float>::infinity());
}

// Of queries at positions first... (1, heads, queries, head_dim) over `kept` (tokens, 2, kv_heads, head_dim), whose last token is the last query's. Queries
// that share a key stand beside one another, so that keys and values are read once and copied never.
torch::Tensor attend_to_kept(const torch::Tensor& q, const torch::Tensor& kept, std::int64_t first, std::int64_t window) {
  const std::int64_t queries = q.size(2);
  const std::int64_t from = window > 0 ? std::max<std::int64_t>(0, first - window + 1) : 0;
  const std::int64_t keys = first + queries - from;
  const torch::Tensor both = kept.narrow(0, from, keys).permute({1, 2, 0, 3}).unsqueeze(1);  // (2, 1, kv_heads, keys, head_dim)
  const std::int64_t group = q.size(1) / both.size(2);
  const torch::Tensor grouped = q.reshape({1, both.size(2), group * queries, q.size(3)});
  const torch::Tensor bias = queries == 1 ? torch::Tensor() : mask(q, first, queries, from, keys, window).repeat({group, 1});
  return at::scaled_dot_product_attention(grouped, both[0], both[1], bias.defined() ? std::optional<torch::Tensor>(bias) : std::nullopt).reshape(q.sizes());
}

torch::Tensor attend_in_parts(const torch::Tensor& q, const torch::Tensor& kept, std::int64_t past, std::int64_t window) {
  std::vector<torch::Tensor> parts;
  for (std::int64_t done = 0; done < q.size(2); done += kQueriesAtOnce) {
    parts.push_back(attend_to_kept(q.narrow(2, done, std::min(kQueriesAtOnce, q.size(2) - done)), kept, past + done, window));
  }
  return parts.size() == 1 ? parts[0] : torch::cat(parts, 2);
}

void check_numbers(std::int64_t kept, std::int64_t said) {
  if (kept == said) return;
  throw Error(ErrorKind::usage, "a unit keeps " + std::to_string(kept) + " numbers of a token, and its cached_numbers() says " + std::to_string(said));
}

void keep(const CachedText& text, const torch::Tensor& kept, const torch::Tensor& k, const torch::Tensor& v) {
  const torch::Tensor place = kept.narrow(0, text.past, text.tokens);
  place.select(1, 0).copy_(k[0].transpose(0, 1));
  place.select(1, 1).copy_(v[0].transpose(0, 1));
}

}  // namespace

torch::Tensor KeptTokens::attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, std::int64_t window) {
  std::vector<torch::Tensor> parts;
  std::int64_t first = 0;
  for (const CachedText& text : texts) {
    const auto of_text = [&](const torch::Tensor& all) { return all.narrow(2, first, text.tokens); };
    check_numbers(2 * k.size(1) * k.size(3), text.kept.size(1));
    const torch::Tensor kept = text.kept.view({text.kept.size(0), 2, k.size(1), k.size(3)});
    keep(text, kept, of_text(k), of_text(v));
    // A text's beginning is computed as it is without a cache.
    parts.push_back(text.past == 0 ? CausalAttention(window).apply(of_text(q), of_text(k), of_text(v), 0.0)
                                   : attend_in_parts(of_text(q), kept, text.past, window).transpose(1, 2).reshape({1, text.tokens, -1}));
    first += text.tokens;
  }
  return parts.size() == 1 ? parts[0] : torch::cat(parts, 1);
}

}  // namespace gsnake::model
