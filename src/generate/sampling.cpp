#include "generate/sampling.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "greedysnake/error.h"

namespace gsnake {

void check(const SamplingOptions& options) {
  const auto require = [](bool kept, const char* name, double value, const char* rule) {
    if (!kept) throw Error(ErrorKind::usage, fmt::format("{} = {}: must be {}", name, value, rule));
  };
  require(options.temperature >= 0.0 && std::isfinite(options.temperature), "temperature", options.temperature, "a number >= 0");
  require(options.top_k >= 0, "top_k", static_cast<double>(options.top_k), "an integer >= 0");
  require(options.top_p >= 0.0 && options.top_p <= 1.0, "top_p", options.top_p, "a number in 0..1");
}

}  // namespace gsnake

namespace gsnake::generate {
namespace {

// Below it the likeliest token is taken as at 0: no other has a chance, and a divisor that fp32 rounds to 0 would make no number of the likeliest.
constexpr double kLeastTemperature = 1e-6;

}  // namespace

std::int64_t sample(const torch::Tensor& logits, const SamplingOptions& options, at::Generator& generator) {
  if (options.temperature < kLeastTemperature) return logits.argmax().item<std::int64_t>();
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

}  // namespace gsnake::generate
