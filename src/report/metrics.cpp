#include "report/metrics.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

namespace gsnake::report {
namespace {

double number(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : kMissing;
}

StepPoint step_point(const Json& line) {
  StepPoint point;
  point.step = line["step"].get<std::int64_t>();
  point.loss = number(line, "loss");
  point.loss_lost = line.contains("loss") && !std::isfinite(point.loss);
  point.validation_loss = number(line, "validation_loss");
  point.grad_norm = number(line, "grad_norm");
  point.learning_rate = number(line, "learning_rate");
  point.step_ms = number(line, "step_ms");
  point.predicted_ms = number(line, "predicted_ms");
  point.tokens_per_second = number(line, "tokens_per_second");
  point.ssd_read_bytes = number(line, "ssd_read_bytes");
  point.ssd_write_bytes = number(line, "ssd_write_bytes");
  const auto skipped = line.find("skipped");
  point.skipped = skipped != line.end() && skipped->is_boolean() && skipped->get<bool>();
  if (const auto lanes = line.find("lanes"); lanes != line.end() && lanes->is_object()) {
    for (const auto& [lane, busy] : lanes->items()) {
      if (busy.is_number()) point.busy_ms[lane] = busy.get<double>();
    }
  }
  return point;
}

class Reader {
 public:
  void take(const std::string& text) {
    const Json line = parse(text);
    if (!line.is_object()) {
      ++metrics_.unreadable_lines;
      return;
    }
    const auto event = line.find("event");
    if (event != line.end()) return take_event(*event, line);
    if (!line.contains("step") || !line["step"].is_number_integer()) {
      ++metrics_.unreadable_lines;
      return;
    }
    StepPoint point = step_point(line);
    drop_from(point.step);
    point.first_of_process = std::exchange(process_begins_, false);
    metrics_.steps.push_back(std::move(point));
  }

  [[nodiscard]] Metrics result() && { return std::move(metrics_); }

 private:
  void take_event(const Json& event, const Json& line) {
    if (event != "start" && event != "resume") return;
    if (event == "start") drop_from(0);
    if (event == "resume") {
      ++metrics_.resumes;
      if (line.contains("step") && line["step"].is_number_integer()) drop_from(line["step"].get<std::int64_t>() + 1);
    }
    metrics_.start = line;
    process_begins_ = true;
  }

  void drop_from(std::int64_t step) {
    while (!metrics_.steps.empty() && metrics_.steps.back().step >= step) metrics_.steps.pop_back();
  }

  Metrics metrics_;
  bool process_begins_ = true;
};

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return kMissing;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double median_of(const std::vector<StepPoint>& steps, double StepPoint::*value) {
  std::vector<double> values;
  for (const StepPoint& point : steps) values.push_back(point.*value);
  return median(std::move(values));
}

std::vector<StepPoint> steady_steps(const std::vector<StepPoint>& steps) {
  std::vector<StepPoint> steady;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    if (!steps[i].first_of_process && !std::isfinite(steps[i].validation_loss)) steady.push_back(steps[i]);
  }
  return steady.empty() ? steps : steady;
}

double error_percent(const std::vector<StepPoint>& steps) {
  std::vector<double> errors;
  for (const StepPoint& point : steps) {
    if (point.step_ms > 0) errors.push_back((point.predicted_ms / point.step_ms - 1) * 100);
  }
  return median(std::move(errors));
}

}  // namespace

Metrics read_metrics(const std::string& path) {
  std::istringstream lines(read_text(path));
  Reader reader;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) reader.take(line);
  }
  Metrics metrics = std::move(reader).result();
  if (!metrics.start.is_object())
    refuse(path, "it has no line of a run's start", "name a folder that gsnake train made, or its metrics file");
  return metrics;
}

Steady steady_of(const std::vector<StepPoint>& all) {
  const std::vector<StepPoint> steps = steady_steps(all);
  Steady steady;
  steady.steps = steps.size();
  steady.step_ms = median_of(steps, &StepPoint::step_ms);
  steady.predicted_ms = median_of(steps, &StepPoint::predicted_ms);
  steady.predicted_error_percent = error_percent(steps);
  steady.tokens_per_second = median_of(steps, &StepPoint::tokens_per_second);
  steady.ssd_read_bytes = median_of(steps, &StepPoint::ssd_read_bytes);
  steady.ssd_write_bytes = median_of(steps, &StepPoint::ssd_write_bytes);
  double time_ms = 0.0;
  double written = 0.0;
  for (const StepPoint& point : steps) {
    if (!(point.step_ms > 0)) continue;
    time_ms += point.step_ms;
    if (point.ssd_write_bytes > 0) written += point.ssd_write_bytes;
    for (const auto& [lane, busy] : point.busy_ms) steady.busy_share[lane] += busy;
  }
  if (time_ms <= 0) return steady;
  for (auto& [lane, share] : steady.busy_share) share /= time_ms;
  constexpr double kDayMs = 86400e3;
  if (written > 0) steady.written_terabytes_a_day = written / time_ms * kDayMs / 1e12;
  return steady;
}

}  // namespace gsnake::report
