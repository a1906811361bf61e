// What `report` and `trace` show beside what was measured.
#pragma once

#include <string>

#include "report/files.h"

namespace gsnake::command {

struct RunPrediction {
  report::Json prediction;  // as `gsnake simulate --json` has it, with the timeline of the steps that the run traced; null where there is none
  report::Json batches;     // throughput with other numbers of micro-batches, likewise; null where nobody asked for it
  std::string why_not;      // a sentence, where there is none
};

// For a run, of which `start` is the metrics' first line (docs/command.md): on a machine profile or, where `machine` is empty, on what was measured of this machine, if that is the one that
// the run was on, or was predicted for.
[[nodiscard]] RunPrediction predict_run(const report::Json& start, const std::string& machine, bool batches);

}  // namespace gsnake::command
