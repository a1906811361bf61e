// A run's metrics file, read for curves.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "report/files.h"

namespace gsnake::report {

inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();  // absent, or null: it was not finite

struct StepPoint {
  std::int64_t step = 0;
  double loss = kMissing;
  double validation_loss = kMissing;
  double grad_norm = kMissing;
  double learning_rate = kMissing;
  double step_ms = kMissing;
  double predicted_ms = kMissing;
  double tokens_per_second = kMissing;
  double ssd_read_bytes = kMissing;
  double ssd_write_bytes = kMissing;
  std::map<std::string, double> busy_ms;  // by lane
  bool loss_lost = false;                 // it was computed and is not finite
  bool skipped = false;
  bool first_of_process = false;
};

struct Metrics {
  Json start;                    // the newest line of a start or a resume
  std::vector<StepPoint> steps;  // ascending; what a resume repeated replaces what it repeats
  std::size_t resumes = 0;
  std::size_t unreadable_lines = 0;  // torn by a kill
};

// Throws Error(input) that names the file: it can't be read, or no line of it is a run's start.
[[nodiscard]] Metrics read_metrics(const std::string& path);

// What steady steps have in common: medians, and each lane's busy share of the time. A steady step is neither the first of a process nor
// the last, and nothing was validated beside it; where there is no such step, all count.
struct Steady {
  std::size_t steps = 0;
  double step_ms = kMissing;
  double predicted_ms = kMissing;
  double predicted_error_percent = kMissing;  // of the prediction over what was measured
  double tokens_per_second = kMissing;
  double ssd_read_bytes = kMissing;
  double ssd_write_bytes = kMissing;
  double written_terabytes_a_day = kMissing;
  std::map<std::string, double> busy_share;  // by lane; 1: always
};
[[nodiscard]] Steady steady_of(const std::vector<StepPoint>& steps);

}  // namespace gsnake::report
