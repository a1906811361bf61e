// A whole run: data, model, trainer, metrics, progress, signals.
#pragma once

#include <string>
#include <vector>

#include "greedysnake/config.h"
#include <optional>

#include "run/metrics.h"

namespace gsnake::run {

struct RunRequest {
  Resume resume = Resume::automatic;
  bool overwrite = false;
  std::vector<std::string> allow_change;
  std::optional<std::int64_t> from_step;
};

struct RunOutcome {
  int exit_status = 0;  // 0; 130 or 143 when SIGINT or SIGTERM stopped the run, which is then committed; or stopped it before its first step
  Json end;             // the metrics' last line
};

// Trains to config.train.steps or until a signal. Throws Error: before the first step with nothing left behind; later, as anything else
// that is thrown, with the error in the metrics' last line (the steps since the last commit are lost). One run at a time in a process (it
// takes SIGINT and SIGTERM meanwhile).
RunOutcome run_training(const Config& config, const RunRequest& request);

}  // namespace gsnake::run
