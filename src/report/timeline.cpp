#include "report/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "report/shape.h"

namespace gsnake::report {
namespace {

const Json& entry_shape() {
  static const Json shape = {{"lane", "text"},       {"row", "number"},    {"name", "text"},   {"step", "number"},
                             {"begin_ms", "number"}, {"end_ms", "number"}, {"bytes", "number"}};
  return shape;
}

double number(const Json& object, const char* key, double otherwise = 0.0) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}

std::string text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Of a count that should be whole, not negative and far below 2^53, whatever the file says.
std::int64_t count(double value) { return static_cast<std::int64_t>(std::clamp(value, 0.0, 9e15)); }

struct Start {
  double any_ms = std::numeric_limits<double>::infinity();
  double compute_ms = std::numeric_limits<double>::infinity();
};

std::map<std::int64_t, Start> starts_of(const Timeline& tasks) {
  std::map<std::int64_t, Start> starts;
  for (const Task& task : tasks) {
    if (task.step <= 0) continue;
    Start& start = starts[task.step];
    start.any_ms = std::min(start.any_ms, task.begin_ms);
    if (task.lane == "compute") start.compute_ms = std::min(start.compute_ms, task.begin_ms);
  }
  return starts;
}

double difference(const Start& to, const Start& from) {
  const bool both_compute =
      to.compute_ms < std::numeric_limits<double>::infinity() && from.compute_ms < std::numeric_limits<double>::infinity();
  return both_compute ? to.compute_ms - from.compute_ms : to.any_ms - from.any_ms;
}

// One pass over tasks that are sorted by row and time.
Timeline join_neighbours(const Timeline& sorted, double resolution_ms) {
  Timeline joined;
  std::size_t together = 0;
  for (const Task& task : sorted) {
    Task* last = joined.empty() ? nullptr : &joined.back();
    if (last == nullptr || last->lane != task.lane || last->row != task.row || task.end_ms - last->begin_ms > resolution_ms) {
      joined.push_back(task);
      together = 1;
      continue;
    }
    last->name = fmt::format("{} tasks", ++together);
    last->end_ms = std::max(last->end_ms, task.end_ms);
    last->bytes += task.bytes;
    if (last->step != task.step) last->step = 0;
  }
  return joined;
}

}  // namespace

Timeline predicted_tasks(const Json& timeline, const std::string& file) {
  Timeline tasks;
  require_shape(timeline, Json::array({entry_shape()}), file, "timeline");
  for (const Json& entry : timeline) {
    if (!entry.is_object() || text(entry, "lane").empty() || !entry.contains("begin_ms") || !entry.contains("end_ms")) {
      refuse(file, fmt::format("timeline[{}] lacks lane, begin_ms or end_ms", tasks.size()), "print it anew with this version of gsnake");
    }
    const double begin = number(entry, "begin_ms");
    tasks.push_back({text(entry, "lane"), static_cast<int>(std::clamp(number(entry, "row"), 0.0, 999.0)), text(entry, "name"),
                     count(number(entry, "step")), begin, std::max(begin, number(entry, "end_ms")),
                     static_cast<std::uint64_t>(count(number(entry, "bytes")))});
  }
  return tasks;
}

std::optional<Timeline> traced_tasks(std::string_view trace) {
  const Json json = parse(trace);
  const auto events = json.is_object() ? json.find("traceEvents") : json.end();
  if (!json.is_object() || events == json.end() || !events->is_array()) return std::nullopt;
  Timeline tasks;
  for (const Json& event : *events) {
    if (!event.is_object() || text(event, "ph") != "X" || text(event, "cat").empty()) continue;
    const Json arguments = event.value("args", Json::object());
    const Json& of_task = arguments.is_object() ? arguments : Json::object();
    const double begin = number(event, "ts") / 1e3;
    const std::int64_t row = count(number(event, "tid")) % 100;
    tasks.push_back({text(event, "cat"), static_cast<int>(row), text(event, "name"), count(number(of_task, "step")), begin,
                     begin + std::max(0.0, number(event, "dur")) / 1e3, static_cast<std::uint64_t>(count(number(of_task, "bytes")))});
  }
  return tasks;
}

double shift_ms(const Timeline& measured, const Timeline& predicted) {
  const std::map<std::int64_t, Start> to = starts_of(measured);
  const std::map<std::int64_t, Start> from = starts_of(predicted);
  for (const auto& [step, start] : to) {
    if (const auto same = from.find(step); same != from.end()) return difference(start, same->second);
  }
  return to.empty() || from.empty() ? 0.0 : difference(to.begin()->second, from.begin()->second);
}

Thinned thin(Timeline tasks, std::size_t most) {
  if (tasks.size() <= most) return {std::move(tasks), 0.0};
  const auto order = [](const Task& task) { return std::tie(task.lane, task.row, task.begin_ms); };
  std::sort(tasks.begin(), tasks.end(), [&](const Task& a, const Task& b) { return order(a) < order(b); });
  double first = std::numeric_limits<double>::infinity();
  double last = -first;
  for (const Task& task : tasks) {
    first = std::min(first, task.begin_ms);
    last = std::max(last, task.end_ms);
  }
  const double span = std::max(last - first, 1e-3);
  double resolution = span / static_cast<double>(most);
  Timeline joined = join_neighbours(tasks, resolution);
  for (; joined.size() > most && resolution <= span; resolution *= 2) joined = join_neighbours(tasks, resolution * 2);
  return {std::move(joined), resolution};
}

}  // namespace gsnake::report
