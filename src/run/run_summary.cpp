#include "run/run_summary.h"

#include <algorithm>
#include <cmath>

#include "core/bytes.h"

namespace gsnake::run {
namespace {

// Without those whose interval holds more than a step: the pipeline's filling, a validation (and the step after it, which finds no delayed
// update to apply), the last commit.
std::vector<StepPoint> steady_steps(const std::vector<StepPoint>& steps) {
  std::vector<StepPoint> steady;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const bool after_validation = i > 0 && steps[i - 1].validation_loss.has_value();
    const bool before_resume = steps[i + 1].first_of_process;
    if (!steps[i].first_of_process && !before_resume && !steps[i].validation_loss && !after_validation) steady.push_back(steps[i]);
  }
  return steady.empty() ? steps : steady;
}

double median(const std::vector<StepPoint>& steps, double StepPoint::*field) {
  if (steps.empty()) return 0.0;
  std::vector<double> values;
  for (const StepPoint& step : steps) values.push_back(step.*field);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2.0;
}

std::map<std::string, double> lane_shares(const std::vector<StepPoint>& steps) {
  double total_ms = 0.0;
  std::map<std::string, double> busy_ms;
  for (const StepPoint& step : steps) {
    total_ms += step.step_ms;
    for (const auto& [lane, busy] : step.busy_ms) busy_ms[lane] += busy;
  }
  for (auto& [lane, busy] : busy_ms) busy = total_ms > 0.0 ? std::min(busy / total_ms, 1.0) : 0.0;
  return busy_ms;
}

double budget_of(const Json& run, const char* key) {
  const Json value = run.value(Json::json_pointer(std::string("/config/memory/") + key), Json());
  if (value.is_number()) return value.get<double>();
  return value.is_string() ? static_cast<double>(core::parse_bytes(value.get<std::string>())) : 0.0;
}

double number(const Json& run, const char* key) { return run.contains(key) && run[key].is_number() ? run[key].get<double>() : 0.0; }

}  // namespace

RunSummary summarize(const RunHistory& history) {
  RunSummary summary;
  const std::vector<StepPoint> steady = steady_steps(history.steps);
  summary.steady_steps = steady.size();
  summary.step_ms = median(steady, &StepPoint::step_ms);
  summary.tokens_per_second = median(steady, &StepPoint::tokens_per_second);
  summary.ssd_read_bytes = median(steady, &StepPoint::ssd_read_bytes);
  summary.ssd_write_bytes = median(steady, &StepPoint::ssd_write_bytes);
  summary.lane_shares = lane_shares(steady);
  if (!history.steps.empty()) {
    summary.last_step = history.steps.back().step;
    summary.first_loss = history.steps.front().loss;
    summary.last_loss = history.steps.back().loss;
  }
  for (const StepPoint& step : history.steps) {
    summary.rss_peak_bytes = std::max(summary.rss_peak_bytes, step.rss_peak_bytes);
    if (step.validation_loss) summary.validation_loss = step.validation_loss;
  }
  summary.formula_ssd_read_bytes = number(history.run, "formula_ssd_read_bytes");
  summary.formula_ssd_write_bytes = number(history.run, "formula_ssd_write_bytes");
  summary.host_budget = budget_of(history.run, "host_budget");
  summary.device_budget = budget_of(history.run, "device_budget");
  summary.base_bytes = number(history.run, "base_bytes");
  summary.in_memory_bytes = number(history.run, "in_memory_bytes");
  return summary;
}

Json to_json(const RunSummary& summary) {
  Json shares = Json::object();
  for (const auto& [lane, share] : summary.lane_shares) shares[lane] = nine_digits(share);
  return {
      {"last_step", summary.last_step},
      {"first_loss", nine_digits(summary.first_loss)},
      {"last_loss", nine_digits(summary.last_loss)},
      {"validation_loss", summary.validation_loss ? nine_digits(*summary.validation_loss) : Json()},
      {"steady_steps", summary.steady_steps},
      {"step_ms", nine_digits(summary.step_ms)},
      {"tokens_per_second", nine_digits(summary.tokens_per_second)},
      {"ssd_read_bytes", static_cast<std::uint64_t>(summary.ssd_read_bytes)},
      {"ssd_write_bytes", static_cast<std::uint64_t>(summary.ssd_write_bytes)},
      {"formula_ssd_read_bytes", static_cast<std::uint64_t>(summary.formula_ssd_read_bytes)},
      {"formula_ssd_write_bytes", static_cast<std::uint64_t>(summary.formula_ssd_write_bytes)},
      {"lane_shares", std::move(shares)},
      {"rss_peak_bytes", static_cast<std::uint64_t>(summary.rss_peak_bytes)},
      {"host_budget", static_cast<std::uint64_t>(summary.host_budget)},
      {"device_budget", static_cast<std::uint64_t>(summary.device_budget)},
      {"base_bytes", static_cast<std::uint64_t>(summary.base_bytes)},
      {"in_memory_bytes", static_cast<std::uint64_t>(summary.in_memory_bytes)},
  };
}

}  // namespace gsnake::run
