// Log-likelihoods of tokens, many texts a pass.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "generate/engine.h"
#include "greedysnake/evaluate.h"

namespace gsnake::generate {

// A part of a text that is computed at once: tokens [begin, end) are read, tokens [first, end] are scored.
struct Window {
  std::size_t text = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t first = 0;

  [[nodiscard]] std::int64_t tokens() const { return static_cast<std::int64_t>(end - begin); }
};

// As EvaluateOptions::stride says; of a text whose scored tokens are in one context, the last tokens up to there.
std::vector<Window> windows_of(const ScoredTokens& text, std::size_t index, std::int64_t context, std::int64_t stride);

class Scorer {
 public:
  explicit Scorer(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  // As Evaluator has it.
  std::vector<double> log_likelihoods(std::span<const ScoredTokens> texts, const EvaluateOptions& options);
  [[nodiscard]] const Engine& engine() const { return *engine_; }
  [[nodiscard]] std::int64_t passes() const { return passes_; }

 private:
  void prepare(const std::vector<std::span<const Window>>& passes);
  void score(std::span<const ScoredTokens> texts, std::span<const Window> windows, std::vector<double>& sums);

  std::unique_ptr<Engine> engine_;
  std::int64_t passes_ = 0;
};

}  // namespace gsnake::generate
