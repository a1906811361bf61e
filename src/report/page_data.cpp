#include "report/page_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gsnake::report {
namespace {

constexpr std::size_t kLongestName = 160;

// With seven digits, which no screen shows more of: it keeps the page small.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.7g}", value).c_str(), nullptr);
}

// Milliseconds to a tenth of a microsecond, of times that begin at 0.
double rounded_ms(double value) { return std::round(value * 1e4) / 1e4; }

Json shares(const std::map<std::string, double>& by_lane) {
  Json json = Json::object();
  for (const auto& [lane, share] : by_lane) json[lane] = number(share);
  return json;
}

Json steady_data(const std::vector<StepPoint>& steps) {
  if (steps.empty()) return nullptr;
  const Steady steady = steady_of(steps);
  return {{"steps", steady.steps},
          {"step_ms", number(steady.step_ms)},
          {"predicted_ms", number(steady.predicted_ms)},
          {"predicted_error_percent", number(steady.predicted_error_percent)},
          {"tokens_per_second", number(steady.tokens_per_second)},
          {"ssd_read_bytes", number(steady.ssd_read_bytes)},
          {"ssd_write_bytes", number(steady.ssd_write_bytes)},
          {"written_terabytes_a_day", number(steady.written_terabytes_a_day)},
          {"busy_share", shares(steady.busy_share)}};
}

struct Column {
  const char* name;
  double StepPoint::*value;
};
constexpr Column kColumns[] = {
    {"loss", &StepPoint::loss},       {"grad_norm", &StepPoint::grad_norm},       {"learning_rate", &StepPoint::learning_rate},
    {"step_ms", &StepPoint::step_ms}, {"predicted_ms", &StepPoint::predicted_ms}, {"tokens_per_second", &StepPoint::tokens_per_second}};

// The mean of those that are there, of `count` steps from `begin`.
Json mean(const std::vector<StepPoint>& steps, std::size_t begin, std::size_t count, double StepPoint::*value) {
  double sum = 0.0;
  std::size_t there = 0;
  for (std::size_t i = begin; i < std::min(begin + count, steps.size()); ++i) {
    if (!std::isfinite(steps[i].*value)) continue;
    sum += steps[i].*value;
    ++there;
  }
  return there == 0 ? Json() : number(sum / static_cast<double>(there));
}

// A column of a point every `every` steps; null where no point has a value.
Json column(const std::vector<StepPoint>& steps, std::size_t every, double StepPoint::*value) {
  Json points = Json::array();
  bool any = false;
  for (std::size_t i = 0; i < steps.size(); i += every) {
    points.push_back(mean(steps, i, every, value));
    any = any || !points.back().is_null();
  }
  return any ? points : Json();
}

Json validation_data(const std::vector<StepPoint>& all, std::size_t most) {
  std::vector<StepPoint> steps;
  std::copy_if(all.begin(), all.end(), std::back_inserter(steps),
               [](const StepPoint& point) { return std::isfinite(point.validation_loss); });
  if (steps.empty()) return nullptr;
  const std::size_t every = (steps.size() + most - 1) / most;
  Json at = Json::array();
  for (std::size_t i = 0; i < steps.size(); i += every) at.push_back(steps[std::min(i + every, steps.size()) - 1].step);
  return {
      {"step", std::move(at)}, {"loss", column(steps, every, &StepPoint::validation_loss)}, {"last", number(steps.back().validation_loss)}};
}

Json steps_data(const std::vector<StepPoint>& steps, std::size_t most) {
  if (steps.empty()) return nullptr;
  const std::size_t every = std::max<std::size_t>(1, (steps.size() + most - 1) / most);
  Json at = Json::array();
  for (std::size_t i = 0; i < steps.size(); i += every) at.push_back(steps[i + (std::min(every, steps.size() - i) - 1) / 2].step);
  Json data = {
      {"count", steps.size()}, {"every", every}, {"first", steps.front().step}, {"last", steps.back().step}, {"step", std::move(at)}};
  for (const Column& each : kColumns) data[each.name] = column(steps, every, each.value);
  data["validation"] = validation_data(steps, most);
  data["skipped"] = std::count_if(steps.begin(), steps.end(), [](const StepPoint& point) { return point.skipped; });
  data["loss_lost"] = std::count_if(steps.begin(), steps.end(), [](const StepPoint& point) { return point.loss_lost; });
  data["last_loss"] = number(steps.back().loss);
  return data;
}

// Tasks in columns, with each name and lane once.
class TaskTable {
 public:
  Json add(const Timeline& tasks, double origin_ms) {
    Json table = {{"lane", Json::array()},  {"row", Json::array()},      {"name", Json::array()}, {"step", Json::array()},
                  {"begin", Json::array()}, {"duration", Json::array()}, {"bytes", Json::array()}};
    for (const Task& task : tasks) {
      table["lane"].push_back(lanes_.index(task.lane.substr(0, kLongestName)));
      table["row"].push_back(task.row);
      table["name"].push_back(names_.index(task.name.substr(0, kLongestName)));
      table["step"].push_back(task.step);
      table["begin"].push_back(rounded_ms(task.begin_ms - origin_ms));
      table["duration"].push_back(rounded_ms(task.end_ms - task.begin_ms));
      table["bytes"].push_back(task.bytes);
    }
    return table;
  }
  [[nodiscard]] Json names() const { return names_.list; }
  [[nodiscard]] Json lanes() const { return lanes_.list; }

 private:
  struct Texts {
    std::size_t index(const std::string& text) {
      const auto [found, added] = known.try_emplace(text, known.size());
      if (added) list.push_back(text);
      return found->second;
    }
    std::unordered_map<std::string, std::size_t> known;
    Json list = Json::array();
  };
  Texts names_;
  Texts lanes_;
};

Json notes_of(const char* which, std::size_t all, const Thinned& thinned) {
  if (thinned.resolution_ms == 0.0) return nullptr;
  return fmt::format("The {} timeline has {} tasks and is drawn as {}: neighbours within {:.3g} ms are drawn as one.", which, all,
                     thinned.tasks.size(), thinned.resolution_ms);
}

Json timeline_data(const ReportInput& input, std::size_t most) {
  if (input.measured.empty() && input.predicted.empty()) return nullptr;
  Timeline moved = input.predicted;
  const double shift = shift_ms(input.measured, input.predicted);
  for (Task& task : moved) {
    task.begin_ms += shift;
    task.end_ms += shift;
  }
  double origin = std::numeric_limits<double>::infinity();
  for (const Timeline* tasks : std::initializer_list<const Timeline*>{&moved, &input.measured}) {
    for (const Task& task : *tasks) origin = std::min(origin, task.begin_ms);
  }
  TaskTable table;
  Json tracks = Json::array();
  Json notes = Json::array();
  const auto add = [&](const char* what, Timeline tasks) {
    if (tasks.empty()) return;
    const std::size_t all = tasks.size();
    const Thinned thinned = thin(std::move(tasks), most);
    if (Json note = notes_of(what, all, thinned); !note.is_null()) notes.push_back(std::move(note));
    tracks.push_back({{"what", what}, {"tasks", table.add(thinned.tasks, origin)}});
  };
  add("predicted", std::move(moved));
  add("measured", input.measured);
  return {{"lanes", table.lanes()}, {"names", table.names()}, {"tracks", std::move(tracks)}, {"notes", std::move(notes)}};
}

// Of each stretch of points the one of most bytes.
Json thin_points(const Json& points, std::size_t most) {
  if (points.size() <= most) return points;
  const std::size_t every = (points.size() + most - 1) / most;
  Json kept = Json::array();
  for (std::size_t i = 0; i < points.size(); i += every) {
    std::size_t best = i;
    for (std::size_t j = i; j < std::min(i + every, points.size()); ++j) {
      if (points[j][1].get<double>() > points[best][1].get<double>()) best = j;
    }
    kept.push_back(points[best]);
  }
  return kept;
}

Json prediction_data(const Json& prediction, std::size_t most) {
  Json data = prediction;
  if (!data.is_object()) return nullptr;
  if (const auto over_time = data.find("memory_over_time"); over_time != data.end() && over_time->is_object()) {
    for (auto& [tier, points] : over_time->items()) points = thin_points(points.is_array() ? points : Json::array(), most);
  }
  return data;
}

// The rows of a run's start line, as a prediction has them; of a plan, those of its prediction.
Json memory_rows(const ReportInput& input) {
  Json rows = Json::array();
  const Json& start = input.metrics.start;
  const Json tiers = start.is_object() ? start.value("memory", Json()) : Json();
  if (!tiers.is_object()) return input.prediction.is_object() ? input.prediction.value("memory", rows) : rows;
  for (const auto& [tier, items] : tiers.items()) {
    for (const Json& item : items) {
      if (!item.is_object()) continue;
      rows.push_back(item);
      rows.back()["tier"] = tier;
    }
  }
  return rows;
}

const char* name_of(Source source) { return source == Source::run ? "run" : source == Source::plan ? "plan" : "simulation"; }

bool filled(const Json& json) { return !json.is_null() && !((json.is_array() || json.is_object() || json.is_string()) && json.empty()); }

// Whether there is something at `pointer`.
bool has(const Json& data, const char* pointer) {
  const Json::json_pointer place(pointer);
  return data.contains(place) && filled(data[place]) && data[place] != "";
}

}  // namespace

Json page_data(const ReportInput& input, const PageLimits& limits) {
  Json start = input.metrics.start.is_object() ? input.metrics.start : Json::object();
  start.erase("memory");
  const std::vector<StepPoint>& steps = input.metrics.steps;
  return {{"source", name_of(input.source)},
          {"name", input.name},
          {"notes", input.notes},
          {"run", std::move(start)},
          {"config", input.config},
          {"prediction", prediction_data(input.prediction, limits.steps)},
          {"document", input.document},
          {"memory", memory_rows(input)},
          {"steady", steady_data(steps)},
          {"steps", steps_data(steps, limits.steps)},
          {"timeline", timeline_data(input, limits.tasks)}};
}

std::set<std::string> sections_of(const Json& data) {
  const std::vector<std::pair<const char*, std::vector<const char*>>> wants = {
      {"timeline", {"/timeline"}},
      {"lanes", {"/steady/busy_share", "/prediction/lanes"}},
      {"steps", {"/steps/step_ms", "/prediction/first_steps_ms"}},
      {"throughput", {"/steps/tokens_per_second"}},
      {"critical", {"/prediction/critical_path"}},
      {"buys", {"/document/buys"}},
      {"roofline", {"/document/batches"}},
      {"side_by_side", {"/document/side_by_side"}},
      {"loss", {"/steps/loss", "/steps/validation"}},
      {"grad_norm", {"/steps/grad_norm"}},
      {"learning_rate", {"/steps/learning_rate"}},
      {"memory", {"/memory"}},
      {"memory_over_time", {"/prediction/memory_over_time"}},
      {"wear", {"/prediction/wear/terabytes_a_day", "/steady/written_terabytes_a_day"}},
      {"choices", {"/document/choices"}},
      {"notes", {"/notes"}},
      {"config", {"/config"}},
  };
  std::set<std::string> sections;
  for (const auto& [section, pointers] : wants) {
    if (std::any_of(pointers.begin(), pointers.end(), [&](const char* pointer) { return has(data, pointer); })) sections.insert(section);
  }
  return sections;
}

}  // namespace gsnake::report
