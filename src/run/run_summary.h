// What a run's metrics amount to: read back, summed up, drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "run/metrics.h"

namespace gsnake::run {

struct StepPoint {
  std::int64_t step = 0;
  double loss = 0.0;  // NaN where it was not finite
  std::optional<double> validation_loss;
  double step_ms = 0.0;
  double tokens_per_second = 0.0;
  double ssd_read_bytes = 0.0;
  double ssd_write_bytes = 0.0;
  double rss_peak_bytes = 0.0;
  std::map<std::string, double> busy_ms;  // by lane
  bool first_of_process = false;          // its interval covers filling the pipeline as well
};

// A metrics file: the latest description of the run, and its steps in order. What a resume repeats has superseded the lines before.
struct RunHistory {
  Json run;
  std::vector<StepPoint> steps;
  std::optional<Json> end;  // of the last process; none: it was killed or still runs
  std::size_t unreadable_lines = 0;
};

// `path` is a run directory (its metrics.jsonl is read) or a metrics file. Throws Error(input) when there is none or nothing in it is of
// a run. Lines that are torn are counted, not refused: a killed run leaves one.
RunHistory read_history(const std::string& path);

struct RunSummary {
  std::int64_t last_step = 0;
  double first_loss = 0.0;
  double last_loss = 0.0;
  std::optional<double> validation_loss;  // the last
  // Medians over steady steps: without the first of a process, the last (which covers the commit), and those beside a validation.
  std::size_t steady_steps = 0;
  double step_ms = 0.0;
  double tokens_per_second = 0.0;
  double ssd_read_bytes = 0.0;
  double ssd_write_bytes = 0.0;
  std::map<std::string, double> lane_shares;  // busy time by the steady steps' time, 0..1
  // The formula's, for the same.
  double formula_ssd_read_bytes = 0.0;
  double formula_ssd_write_bytes = 0.0;
  double rss_peak_bytes = 0.0;
  double host_budget = 0.0;
  double device_budget = 0.0;
  double base_bytes = 0.0;
  double in_memory_bytes = 0.0;  // beside the base
};

RunSummary summarize(const RunHistory& history);
Json to_json(const RunSummary& summary);
// For a terminal: a plot of the losses, then the numbers.
std::string to_text(const RunSummary& summary, const RunHistory& history);

}  // namespace gsnake::run
