// A run's trace with what was predicted beneath it, for ui.perfetto.dev and chrome://tracing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "report/files.h"

namespace gsnake::report {

// The events of the Chrome trace in `trace_file` (empty: none) as process 1 "measured"; the entries of `timeline` (docs/report.md; null: none) as process
// 2 "predicted", a row a lane, moved so that the first step that both have begins at the same time. Throws Error(input) that names the
// file.
[[nodiscard]] Json merged_trace(const std::string& trace_file, const nlohmann::json& timeline);

}  // namespace gsnake::report
