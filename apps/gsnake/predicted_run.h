// What `report` and `trace` show beside what was measured.
#pragma once

#include <string>

#include "report/files.h"

namespace gsnake::command {

// The prediction for a run, of which `start` is the metrics' first line (docs/command.md), with the timeline of the steps that it traced, on a machine profile or, where
// `machine` is empty, on what was measured of this machine. Null where there is no profile, or the run is of units of its own; the log says why.
[[nodiscard]] report::Json predict_run(const report::Json& start, const std::string& machine);

}  // namespace gsnake::command
