#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "commands.h"
#include "io/replace_file.h"
#include "output.h"
#include "predicted_run.h"
#include "report/files.h"
#include "report/input.h"
#include "report/page.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::string path;
  std::string out;
  std::string machine;
};

std::string default_out(const std::string& path) {
  if (report::names_run(path)) return (std::filesystem::path(report::run_place(path).directory) / "report.html").string();
  return std::filesystem::path(path).replace_extension(".html").string();
}

// What the run noted of its prediction stays; its timeline, and what else a run does not note, is predicted now. Of a machine that somebody names, all of it is.
void predict(report::ReportInput& input, const Arguments& arguments) {
  report::Json start = input.metrics.start;
  start["config"] = input.config;
  start["prediction"] = input.prediction;
  RunPrediction now = predict_run(start, arguments.machine, true);
  if (now.prediction.is_null()) return input.notes.push_back(now.why_not);
  if (arguments.machine.empty() && input.prediction.is_object()) now.prediction.update(input.prediction);
  input.document["batches"] = std::move(now.batches);
  input.predicted = report::predicted_tasks(now.prediction.at("timeline"), arguments.path);
  now.prediction.erase("timeline");
  input.prediction = std::move(now.prediction);
}

int run(const Arguments& arguments) {
  report::ReportInput input = report::load(arguments.path);
  if (input.source == report::Source::run && input.predicted.empty()) predict(input, arguments);
  const std::string out = arguments.out.empty() ? default_out(arguments.path) : arguments.out;
  io::replace_file(out, report::page_of(input));
  print(out + "\n");
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("report", "Make one self-contained HTML page of a run or a plan");
  command
      ->add_option("RUN|PLAN", arguments->path,
                   "run directory (or its metrics file), or what gsnake plan --json or simulate --json printed")
      ->required();
  command->add_option("--out", arguments->out, "where to write the page; default: report.html in the run directory, or beside the plan");
  command->add_option("--machine", arguments->machine, "of a run: predict on this machine profile, not on what was measured here")->option_text("PROFILE");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
