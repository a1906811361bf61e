#include "generate/scorer.h"

#include <fmt/format.h>

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::generate {
namespace {

void check(std::span<const ScoredTokens> texts, const EvaluateOptions& options, const Engine& engine) {
  if (options.stride < 0 || options.stride > engine.context()) throw Error(ErrorKind::usage, fmt::format("a stride of {} tokens: must be 1 to {}, the context", options.stride, engine.context()));
  if (options.pass_tokens < 1) throw Error(ErrorKind::usage, fmt::format("{} tokens a pass: must be at least 1", options.pass_tokens));
  for (const ScoredTokens& text : texts) {
    if (text.first < 1 || text.first > text.tokens.size()) {
      throw Error(ErrorKind::usage, fmt::format("tokens are scored from number {} on, of {}: there is nothing before the first one", text.first, text.tokens.size()));
    }
    for (const std::int64_t id : text.tokens) {
      if (id < 0 || id >= engine.vocab()) throw Error(ErrorKind::usage, fmt::format("token id {} is not below model.vocab = {}", id, engine.vocab()));
    }
  }
}

// Windows that are computed in one pass, in order: as many as `most` tokens have room for, one at least.
std::vector<std::span<const Window>> passes_of(const std::vector<Window>& windows, std::int64_t most) {
  std::vector<std::span<const Window>> passes;
  for (std::size_t first = 0; first < windows.size();) {
    std::size_t end = first;
    std::int64_t tokens = 0;
    while (end < windows.size() && (end == first || tokens + windows[end].tokens() <= most)) tokens += windows[end++].tokens();
    passes.push_back(std::span(windows).subspan(first, end - first));
    first = end;
  }
  return passes;
}

// Of the tokens that follow the rows of hidden states, chunk by chunk.
double log_likelihood(HeadUnit& head, const torch::Tensor& hidden, std::span<const std::int64_t> next, std::int64_t chunk) {
  const torch::NoGradGuard no_grad;
  double sum = 0.0;
  for (std::int64_t first = 0; first < hidden.size(0); first += chunk) {
    const std::int64_t count = std::min(chunk, hidden.size(0) - first);
    const torch::Tensor labels = torch::tensor(at::ArrayRef<std::int64_t>(next.data() + first, static_cast<std::size_t>(count)), torch::kInt64).to(hidden.device());
    const torch::Tensor logits = head.logits(hidden.narrow(0, first, count)).to(torch::kFloat32);
    sum -= torch::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum).item<double>();
  }
  return sum;
}

}  // namespace

std::vector<Window> windows_of(const ScoredTokens& text, std::size_t index, std::int64_t context, std::int64_t stride) {
  const auto most = static_cast<std::size_t>(context);
  const std::size_t last = text.tokens.size() - 1;  // that is scored; it is not read
  std::vector<Window> windows;
  if (text.first > last) return windows;
  if (last - text.first < most && last > most) return {{index, last - most, last, text.first}};
  for (std::size_t begin = 0, first = text.first; first <= last; begin += static_cast<std::size_t>(stride)) {
    const std::size_t end = std::min(begin + most, last);
    if (first > end) continue;
    windows.push_back({index, begin, end, first});
    first = end + 1;
  }
  return windows;
}

void Scorer::prepare(const std::vector<std::span<const Window>>& passes) {
  Demand demand;
  for (const std::span<const Window> windows : passes) {
    std::int64_t tokens = 0;
    for (const Window& window : windows) {
      tokens += window.tokens();
      demand.longest = std::max(demand.longest, window.tokens());
    }
    demand.tokens = std::max(demand.tokens, tokens);
    demand.parts = std::max(demand.parts, static_cast<std::int64_t>(windows.size()));
  }
  demand.head = [chunk = engine_->config().train.head_chunk](HeadUnit& head, const torch::Tensor& hidden) {
    const std::vector<std::int64_t> next(static_cast<std::size_t>(hidden.size(1)));
    log_likelihood(head, hidden[0], next, chunk);
  };
  engine_->prepare(demand);
}

std::vector<double> Scorer::log_likelihoods(std::span<const ScoredTokens> texts, const EvaluateOptions& options) {
  check(texts, options, *engine_);
  const std::int64_t stride = options.stride > 0 ? options.stride : std::max<std::int64_t>(1, engine_->context() / 2);
  std::vector<Window> windows;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<Window> own = windows_of(texts[i], i, engine_->context(), stride);
    windows.insert(windows.end(), own.begin(), own.end());
  }
  std::vector<double> sums(texts.size(), 0.0);
  const std::vector<std::span<const Window>> passes = passes_of(windows, options.pass_tokens);
  if (passes.empty()) return sums;
  prepare(passes);
  for (const std::span<const Window> pass : passes) {
    score(texts, pass, sums);
    const auto next = static_cast<std::size_t>(&pass.back() - windows.data()) + 1;
    if (options.progress) options.progress(next < windows.size() ? windows[next].text : texts.size(), texts.size());
  }
  return sums;
}

void Scorer::score(std::span<const ScoredTokens> texts, std::span<const Window> windows, std::vector<double>& sums) {
  std::vector<Part> parts;
  for (const Window& window : windows) {
    const std::vector<std::int64_t>& tokens = texts[window.text].tokens;
    parts.push_back({{tokens.begin() + static_cast<std::ptrdiff_t>(window.begin), tokens.begin() + static_cast<std::ptrdiff_t>(window.end)}, {}});
  }
  engine_->runner().run(parts, [&](std::size_t part, HeadUnit& head, const torch::Tensor& hidden) {
    const Window& window = windows[part];
    const auto skipped = static_cast<std::int64_t>(window.first - 1 - window.begin);
    const std::span<const std::int64_t> next = std::span(texts[window.text].tokens).subspan(window.first, window.end - window.first + 1);
    sums[window.text] += log_likelihood(head, hidden[0].narrow(0, skipped, hidden.size(1) - skipped), next, engine_->config().train.head_chunk);
  });
  ++passes_;
}

}  // namespace gsnake::generate
