#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "greedysnake/error.h"
#include "report/input.h"
#include "report/shape.h"

namespace gsnake::report {
namespace {

namespace fs = std::filesystem;

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

Json take(Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return nullptr;
  Json value = std::move(*found);
  object.erase(found);
  return value;
}

void take_prediction(ReportInput& input, Json prediction, const std::string& file) {
  if (prediction.is_object()) input.predicted = predicted_tasks(take(prediction, "timeline"), file);
  input.prediction = std::move(prediction);
}

// "quickstart" of "run/quickstart/", and the whole path where its end says nothing.
std::string name_of(const std::string& path) {
  const fs::path whole = fs::path(path).lexically_normal();
  const fs::path last = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  return last.empty() || last == "." || last == ".." ? fs::absolute(path).lexically_normal().string() : last.string();
}

void take_trace(ReportInput& input, const std::string& directory) {
  const std::string path = trace_path(directory, input.config);
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return;
  std::optional<Timeline> tasks;
  try {
    tasks = traced_tasks(read_text(path));
  } catch (const Error&) {
    tasks.reset();
  }
  if (tasks) {
    input.measured = std::move(*tasks);
  } else {
    input.notes.push_back(fmt::format("The trace {} could not be read.", path));
  }
}

void add_metrics_notes(ReportInput& input) {
  const Metrics& metrics = input.metrics;
  if (metrics.unreadable_lines > 0)
    input.notes.push_back(
        fmt::format("Lines of the metrics that could not be read (a kill tears the last one): {}.", metrics.unreadable_lines));
  if (metrics.resumes > 0) input.notes.push_back(fmt::format("Resumes: {}. Steps that were repeated are shown once.", metrics.resumes));
}

}  // namespace

bool names_run(const std::string& path) { return is_folder(path) || fs::path(path).extension() == ".jsonl"; }

RunPlace run_place(const std::string& path) {
  if (is_folder(path) || !names_run(path)) return {path, (fs::path(path) / "metrics.jsonl").string()};
  const fs::path parent = fs::path(path).parent_path();
  return {parent.empty() ? "." : parent.string(), path};
}

std::string trace_path(const std::string& run_directory, const Json& config) {
  const auto run = config.is_object() ? config.find("run") : config.end();
  if (!config.is_object() || run == config.end() || !run->is_object()) return {};
  const auto trace = run->find("trace");
  if (trace == run->end() || !trace->is_string() || trace->get_ref<const std::string&>().empty()) return {};
  return (fs::path(run_directory) / trace->get<std::string>()).string();
}

ReportInput load_run(const std::string& path) {
  const auto [directory, metrics_path] = run_place(path);
  ReportInput input;
  input.source = Source::run;
  input.name = name_of(directory);
  input.metrics = read_metrics(metrics_path);
  Json& start = input.metrics.start;
  require_shape(
      start,
      {{"config", "object"}, {"prediction", prediction_shape()}, {"memory", {{"*", Json::array({prediction_shape()["memory"][0]})}}}},
      metrics_path, "the start line");
  input.config = take(start, "config");
  take_prediction(input, take(start, "prediction"), metrics_path);
  take_trace(input, directory);
  add_metrics_notes(input);
  return input;
}

ReportInput load_plan(const std::string& path) {
  const std::string remedy = "name a run folder, or what gsnake plan --json or gsnake simulate --json printed";
  ReportInput input;
  input.name = name_of(path);
  input.document = read_object(path, remedy);
  require_shape(input.document, document_shape(), path, "it");
  const Json what = input.document.value("what", Json());
  if (what != "plan" && what != "simulation") refuse(path, "it is neither a plan nor a simulation (key \"what\")", remedy);
  if (!input.document.contains("prediction") || !input.document["prediction"].is_object()) refuse(path, "it has no prediction", remedy);
  input.source = what == "plan" ? Source::plan : Source::simulation;
  input.config = take(input.document, "config");
  take_prediction(input, take(input.document, "prediction"), path);
  return input;
}

ReportInput load(const std::string& path) { return names_run(path) ? load_run(path) : load_plan(path); }

}  // namespace gsnake::report
