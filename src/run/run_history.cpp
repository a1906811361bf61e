#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>

#include "greedysnake/error.h"
#include "run/run_summary.h"

namespace gsnake::run {
namespace {

// Absent and null alike: a loss that was not finite is null.
double number(const Json& line, const char* key, double otherwise = 0.0) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : otherwise;
}

StepPoint step_point(const Json& line) {
  StepPoint point;
  point.step = line["step"].get<std::int64_t>();
  point.loss = number(line, "loss", std::numeric_limits<double>::quiet_NaN());
  if (line.contains("validation_loss") && line["validation_loss"].is_number()) point.validation_loss = number(line, "validation_loss");
  point.step_ms = number(line, "step_ms");
  point.tokens_per_second = number(line, "tokens_per_second");
  point.ssd_read_bytes = number(line, "ssd_read_bytes");
  point.ssd_write_bytes = number(line, "ssd_write_bytes");
  point.rss_peak_bytes = number(line, "rss_peak_bytes");
  if (const auto lanes = line.find("lanes"); lanes != line.end() && lanes->is_object()) {
    for (const auto& [lane, busy] : lanes->items()) {
      if (busy.is_number()) point.busy_ms[lane] = busy.get<double>();
    }
  }
  return point;
}

class Reader {
 public:
  void take(const std::string& text) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object()) {
      ++history_.unreadable_lines;
      return;
    }
    const auto event = line.find("event");
    if (event != line.end() && event->is_string()) return take_event(event->get<std::string>(), line);
    if (!line.contains("step") || !line["step"].is_number_integer()) {
      ++history_.unreadable_lines;
      return;
    }
    drop_from(line["step"].get<std::int64_t>());
    StepPoint point = step_point(line);
    point.first_of_process = std::exchange(process_begins_, false);
    history_.steps.push_back(std::move(point));
  }

  [[nodiscard]] RunHistory result() && { return std::move(history_); }

 private:
  void take_event(const std::string& name, const Json& line) {
    if (name == "end") history_.end = line;
    if (name != "start" && name != "resume") return;
    if (name == "resume") drop_from(static_cast<std::int64_t>(number(line, "step")) + 1);
    history_.run = line;
    history_.end.reset();
    process_begins_ = true;
  }

  void drop_from(std::int64_t step) {
    while (!history_.steps.empty() && history_.steps.back().step >= step) history_.steps.pop_back();
  }

  RunHistory history_;
  bool process_begins_ = true;
};

}  // namespace

RunHistory read_history(const std::string& path) {
  std::error_code ignored;
  const std::string file_path =
      std::filesystem::is_directory(path, ignored) ? (std::filesystem::path(path) / "metrics.jsonl").string() : path;
  std::ifstream file(file_path);
  if (!file) {
    const std::error_code code(errno, std::system_category());
    throw Error(ErrorKind::input,
                fmt::format("cannot read {}: {}; name a run directory, or the metrics file itself", file_path, code.message()), code);
  }
  Reader reader;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) reader.take(line);
  }
  RunHistory history = std::move(reader).result();
  if (!history.run.is_object()) {
    throw Error(ErrorKind::input,
                fmt::format("cannot use {}: it has no line of a run's start; name the metrics file of gsnake train", file_path));
  }
  return history;
}

}  // namespace gsnake::run
