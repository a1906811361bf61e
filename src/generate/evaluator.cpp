#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/threads.h"
#include "generate/evaluation_rows.h"
#include "generate/scorer.h"
#include "greedysnake/evaluate.h"

namespace gsnake {
namespace {

using generate::ChoiceRow;
using generate::Engine;
using generate::EvaluationRows;

TextsReport texts_report(const std::vector<ScoredTokens>& texts, std::span<const double> sums) {
  TextsReport report;
  report.rows = texts.size();
  double sum = 0.0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    report.tokens += static_cast<std::int64_t>(texts[i].tokens.size() - 1);
    sum -= sums[i];
  }
  report.negative_log_likelihood = report.tokens == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(report.tokens);
  report.perplexity = std::exp(report.negative_log_likelihood);
  return report;
}

// Of a mean of so many values that are 0 or 1.
double standard_error(double mean, std::size_t count) { return count < 2 ? 0.0 : std::sqrt(mean * (1.0 - mean) / static_cast<double>(count - 1)); }

ChoicesReport choices_report(const std::vector<ChoiceRow>& rows, std::span<const double> sums) {
  ChoicesReport report;
  report.rows = rows.size();
  std::size_t right = 0;
  std::size_t right_normalised = 0;
  for (const ChoiceRow& row : rows) {
    const std::span<const double> own = sums.first(row.choices.size());
    sums = sums.subspan(row.choices.size());
    std::vector<double> normalised;
    for (std::size_t i = 0; i < own.size(); ++i) normalised.push_back(own[i] / row.lengths[i]);
    const auto best = [](std::span<const double> values) { return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin()); };
    right += best(own) == row.answer ? 1 : 0;
    right_normalised += best(normalised) == row.answer ? 1 : 0;
  }
  if (rows.empty()) return report;
  report.accuracy = static_cast<double>(right) / static_cast<double>(rows.size());
  report.normalised_accuracy = static_cast<double>(right_normalised) / static_cast<double>(rows.size());
  report.accuracy_error = standard_error(report.accuracy, rows.size());
  report.normalised_accuracy_error = standard_error(report.normalised_accuracy, rows.size());
  return report;
}

// Whose texts, and then whose choices, are done: the first `done` of them all.
std::size_t rows_done(const EvaluationRows& rows, std::size_t done) {
  std::size_t count = std::min(done, rows.texts.size());
  std::size_t end = rows.texts.size();
  for (const ChoiceRow& row : rows.choices) {
    end += row.choices.size();
    if (end > done) break;
    ++count;
  }
  return count;
}

}  // namespace

class Evaluator::Impl : public generate::Scorer {
 public:
  using Scorer::Scorer;
};

Evaluator::Evaluator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Evaluator::Evaluator(const std::string& run_dir, const ModelOptions& options) : Evaluator(std::make_unique<Impl>(Engine::of_run(std::nullopt, run_dir, options))) {}
Evaluator::Evaluator(Model model, const std::string& run_dir, const ModelOptions& options) : Evaluator(std::make_unique<Impl>(Engine::of_run(std::move(model), run_dir, options))) {}
Evaluator Evaluator::of_folder(const std::string& folder, const ModelOptions& options) { return Evaluator(std::make_unique<Impl>(Engine::of_folder(folder, options))); }
Evaluator::~Evaluator() = default;
Evaluator::Evaluator(Evaluator&&) noexcept = default;
Evaluator& Evaluator::operator=(Evaluator&&) noexcept = default;
std::vector<double> Evaluator::log_likelihoods(std::span<const ScoredTokens> texts, const EvaluateOptions& options) {
  return core::on_own_thread([&] { return impl_->log_likelihoods(texts, options); });
}
const Config& Evaluator::config() const { return impl_->engine().config(); }
std::int64_t Evaluator::context() const { return impl_->engine().context(); }

EvaluationReport Evaluator::evaluate(const std::string& path, const std::function<std::vector<std::int64_t>(const std::string&)>& encode, const EvaluateOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t read_before = impl_->engine().stored_bytes();
  const std::int64_t passes_before = impl_->passes();
  const EvaluationRows rows = generate::read_evaluation(path, encode, impl_->engine().vocab());
  std::vector<ScoredTokens> all = rows.texts;
  for (const ChoiceRow& row : rows.choices) all.insert(all.end(), row.choices.begin(), row.choices.end());
  EvaluateOptions by_row = options;
  if (options.progress) by_row.progress = [&](std::size_t done, std::size_t) { options.progress(rows_done(rows, done), rows.texts.size() + rows.choices.size()); };
  const std::vector<double> sums = log_likelihoods(all, by_row);
  EvaluationReport report;
  report.texts = texts_report(rows.texts, std::span(sums).first(rows.texts.size()));
  report.choices = choices_report(rows.choices, std::span(sums).subspan(rows.texts.size()));
  report.passes = impl_->passes() - passes_before;
  report.read_bytes = impl_->engine().stored_bytes() - read_before;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace gsnake
