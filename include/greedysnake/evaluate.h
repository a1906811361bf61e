// How well a model knows texts: their perplexity, and which of several answers it takes for the likeliest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/generator.h"

namespace gsnake {

// Tokens, of which those from `first` on are scored, given all before them. 1 <= first <= tokens.size().
struct ScoredTokens {
  std::vector<std::int64_t> tokens;
  std::size_t first = 1;
};

struct EvaluateOptions {
  // A text longer than the context is scored in windows, each this many tokens further on; every token is scored once, in the first window that has it.
  // 0: half the context, so that no token but the first window's has less than half a context before it.
  std::int64_t stride = 0;
  // Texts are computed together, a pass over the weights for all of them, up to so many tokens. What comes of one does not depend on it.
  std::int64_t pass_tokens = 4096;
  // Told how many texts, or rows of a file, are done, after each pass, on a thread of the call's own. What it throws ends the evaluation. May be empty.
  std::function<void(std::size_t done, std::size_t all)> progress;
};

struct TextsReport {
  std::size_t rows = 0;
  std::int64_t tokens = 0;            // that were scored
  double negative_log_likelihood = 0.0;  // mean over all tokens of all rows, in nats; NaN where none was scored
  double perplexity = 0.0;            // e to that; likewise
};

struct ChoicesReport {
  std::size_t rows = 0;
  double accuracy = 0.0;             // of the choice with the highest log-likelihood: lm-evaluation-harness's acc
  double normalised_accuracy = 0.0;  // of the highest after division by the choice's length in characters: acc_norm
  double accuracy_error = 0.0;       // standard errors of the two
  double normalised_accuracy_error = 0.0;
};

struct EvaluationReport {
  TextsReport texts;      // rows: 0 where there are none
  ChoicesReport choices;  // likewise
  std::int64_t passes = 0;
  std::uint64_t read_bytes = 0;  // of weights, from a drive
  double seconds = 0.0;
};

// Opens a model as Generator does.
class Evaluator {
 public:
  explicit Evaluator(const std::string& run_dir, const ModelOptions& options = {});
  Evaluator(Model model, const std::string& run_dir, const ModelOptions& options = {});
  static Evaluator of_folder(const std::string& folder, const ModelOptions& options = {});
  ~Evaluator();
  Evaluator(Evaluator&&) noexcept;
  Evaluator& operator=(Evaluator&&) noexcept;

  // By text: the sum of the log-likelihoods of its scored tokens, in nats. Throws Error(usage) for ids that are not below model.vocab, Error(budget), Error(storage),
  // Error(input).
  std::vector<double> log_likelihoods(std::span<const ScoredTokens> texts, const EvaluateOptions& options = {});
  // Of a JSONL file's rows: {"text": TEXT}, whose perplexity is measured; {"question" (or "prompt", "context"): TEXT, "choices": [TEXT...], "answer": INDEX}, where the
  // likeliest choice is looked for. A choice stands behind its question with a space between them, unless there is white space already, which is scored with the choice. Behind
  // no question at all it stands as it is, after what encode puts before a text: where that is nothing, the row is refused. encode: the model's tokenizer, with
  // what it puts before a text. Throws as log_likelihoods(); Error(input) "cannot use PATH:LINE: WHY".
  EvaluationReport evaluate(const std::string& path, const std::function<std::vector<std::int64_t>(const std::string&)>& encode, const EvaluateOptions& options = {});

  [[nodiscard]] const Config& config() const;
  [[nodiscard]] std::int64_t context() const;

 private:
  class Impl;
  explicit Evaluator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake
