// What a page is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/files.h"
#include "report/metrics.h"
#include "report/timeline.h"

namespace gsnake::report {

enum class Source : std::uint8_t { run, plan, simulation };

struct ReportInput {
  Source source = Source::run;
  std::string name;                // of the folder or the file, for the title
  Json config;                     // null where there is none
  Json prediction;                 // docs/report.md; without "timeline"; null where nothing was predicted
  Json document = Json::object();  // of a plan or a simulation: the other keys (side_by_side, batches, choices, buys, ...)
  Metrics metrics;                 // of a run
  Timeline measured;               // of a run that was traced
  Timeline predicted;              // its times begin where they like: page_of() aligns them
  std::vector<std::string> notes;  // what the reader should know of the files: one sentence each
};

// Of a run: its folder, or its metrics file. The trace that its config names is read where it is there; where it can't be read, a note says
// so. Throws Error(input) that names the file which is missing or malformed.
[[nodiscard]] ReportInput load_run(const std::string& path);

// Of a file that `gsnake plan --json` or `gsnake simulate --json` printed. Throws the same.
[[nodiscard]] ReportInput load_plan(const std::string& path);

// load_run() of a folder and of a file *.jsonl, load_plan() of another file.
[[nodiscard]] ReportInput load(const std::string& path);

// Where the trace of a run should be: run.trace of its config, in its folder unless absolute; empty where the config names none.
[[nodiscard]] std::string trace_path(const std::string& run_directory, const Json& config);

// Where a run's files are: `path` is its folder, or its metrics file (*.jsonl).
struct RunPlace {
  std::string directory;
  std::string metrics;
};
[[nodiscard]] RunPlace run_place(const std::string& path);

// Whether `path` is a folder or a metrics file, not a plan.
[[nodiscard]] bool names_run(const std::string& path);

}  // namespace gsnake::report
