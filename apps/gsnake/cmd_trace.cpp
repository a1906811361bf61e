#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <string>

#include "commands.h"
#include "io/replace_file.h"
#include "output.h"
#include "predicted_run.h"
#include "report/files.h"
#include "report/input.h"
#include "report/metrics.h"
#include "report/perfetto.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string run;
  std::string out;
  std::string machine;
};

std::string trace_of(const report::RunPlace& place, const report::Json& config) {
  const std::string trace = report::trace_path(place.directory, config);
  if (trace.empty())
    report::refuse(place.directory, "the run was not traced (run.trace is empty)", "train some steps with --set run.trace=trace.json");
  return trace;
}

int run(const Arguments& arguments) {
  const report::RunPlace place = report::run_place(arguments.run);
  const report::Json start = report::read_metrics(place.metrics).start;
  const std::string measured = trace_of(place, start.value("config", report::Json()));
  const RunPrediction predicted = predict_run(start, arguments.machine, false);
  const report::Json& prediction = predicted.prediction;
  if (prediction.is_null()) spdlog::info("{}", predicted.why_not);
  const report::Json trace = report::merged_trace(measured, prediction.is_null() ? prediction : prediction.at("timeline"));
  const std::string out = arguments.out.empty() ? (std::filesystem::path(place.directory) / "trace_merged.json").string() : arguments.out;
  io::replace_file(out, trace.dump(-1, ' ', false, report::Json::error_handler_t::replace) + '\n');
  print(out + "\n");
  return 0;
}

}  // namespace

void add_trace(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("trace", "Write the trace of a run for ui.perfetto.dev, predicted beside measured");
  command->add_option("RUN_DIR", arguments->run, "run directory (or its metrics file)")->required();
  command->add_option("--out", arguments->out, "where to write it; default: trace_merged.json in the run directory");
  command->add_option("--machine", arguments->machine, "predict on this machine profile, not on what was measured here")->option_text("PROFILE");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
