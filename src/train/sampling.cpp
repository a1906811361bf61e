#include "train/sampling.h"

#include <limits>

namespace gsnake::train {

std::int64_t sample(const torch::Tensor& logits, const SamplingOptions& options, at::Generator& generator) {
  if (options.temperature <= 0.0) return logits.argmax().item<std::int64_t>();
  torch::Tensor scaled = (logits - logits.max()) / options.temperature;  // no temperature makes an infinity of the largest
  if (options.top_k > 0 && options.top_k < scaled.size(0)) {
    const torch::Tensor least = std::get<0>(scaled.topk(options.top_k)).min();
    scaled = scaled.masked_fill(scaled < least, -std::numeric_limits<float>::infinity());
  }
  torch::Tensor probabilities = torch::softmax(scaled, 0);
  if (options.top_p < 1.0) {
    const auto [sorted, order] = probabilities.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
    const torch::Tensor before = sorted.cumsum(0) - sorted;  // of the more likely ones
    const torch::Tensor dropped = before >= options.top_p;
    dropped[0] = false;
    probabilities = probabilities.masked_fill(torch::empty_like(dropped).scatter_(0, order, dropped), 0.0);
  }
  return at::multinomial(probabilities, 1, false, generator).item<std::int64_t>();
}

}  // namespace gsnake::train
