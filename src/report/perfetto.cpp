#include "report/perfetto.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "report/timeline.h"

namespace gsnake::report {
namespace {

constexpr int kMeasured = 1;
constexpr int kPredicted = 2;
constexpr int kRowsOfLane = 100;  // src/runtime/trace.cpp numbers threads so

Json metadata(const char* what, int process, std::int64_t thread, Json arguments) {
  return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", std::move(arguments)}};
}

void add_process(Json& events, int process, const char* name) {
  events.push_back(metadata("process_name", process, 0, {{"name", name}}));
  events.push_back(metadata("process_sort_index", process, 0, {{"sort_index", process}}));
}

// Numbers for lanes: those of the measured threads, then further ones.
class LaneNumbers {
 public:
  void know(const Json& event) {
    const auto lane = event.find("cat");
    const auto thread = event.find("tid");
    if (lane == event.end() || !lane->is_string() || thread == event.end() || !thread->is_number_integer()) return;
    const std::int64_t number = thread->get<std::int64_t>() / kRowsOfLane;
    numbers_.emplace(lane->get<std::string>(), number);
    next_ = std::max(next_, number + 1);
  }
  std::int64_t of(const std::string& lane) {
    const auto [found, added] = numbers_.try_emplace(lane, next_);
    if (added) ++next_;
    return found->second;
  }

 private:
  std::map<std::string, std::int64_t> numbers_;
  std::int64_t next_ = 0;
};

void add_predicted(Json& events, const Timeline& tasks, double shift, LaneNumbers& lanes) {
  std::set<std::pair<std::int64_t, std::string>> threads;
  for (const Task& task : tasks) {
    const std::int64_t thread = lanes.of(task.lane) * kRowsOfLane + task.row % kRowsOfLane;
    threads.emplace(thread, task.lane);
    events.push_back({{"name", task.name},
                      {"cat", task.lane},
                      {"ph", "X"},
                      {"pid", kPredicted},
                      {"tid", thread},
                      {"ts", (task.begin_ms + shift) * 1e3},
                      {"dur", (task.end_ms - task.begin_ms) * 1e3},
                      {"args", {{"step", task.step}, {"bytes", task.bytes}}}});
  }
  for (const auto& [thread, lane] : threads) {
    events.push_back(metadata("thread_name", kPredicted, thread, {{"name", lane}}));
    events.push_back(metadata("thread_sort_index", kPredicted, thread, {{"sort_index", thread}}));
  }
}

void add_measured(Json& events, Json trace, LaneNumbers& lanes) {
  for (Json& event : trace["traceEvents"]) {
    // Those of another process are what an earlier merge put there.
    if (!event.is_object() || event.value("pid", Json()) != kMeasured) continue;
    if (event.value("name", Json()) == "process_name" || event.value("name", Json()) == "process_sort_index") continue;
    lanes.know(event);
    events.push_back(std::move(event));
  }
}

}  // namespace

Json merged_trace(const std::string& trace_file, const nlohmann::json& timeline) {
  const Timeline predicted = predicted_tasks(Json(timeline), "the predicted timeline");
  Json events = Json::array();
  LaneNumbers lanes;
  double shift = 0.0;
  if (!trace_file.empty()) {
    const std::string text = read_text(trace_file);
    const std::optional<Timeline> measured = traced_tasks(text);
    if (!measured) refuse(trace_file, "it is not a Chrome trace", "let the run write it anew (run.trace)");
    add_process(events, kMeasured, "measured");
    add_measured(events, parse(text), lanes);
    if (!predicted.empty()) shift = shift_ms(*measured, predicted);
  }
  if (!predicted.empty()) {
    add_process(events, kPredicted, "predicted");
    add_predicted(events, predicted, shift, lanes);
  }
  return {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
}

}  // namespace gsnake::report
