#include "runtime/trace.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "schedule/task_name.h"

namespace gsnake::runtime {

namespace {

// A row a lane; where a lane has several tasks in hand at once, further rows below it.
int row_of(std::vector<std::int64_t>& ends, const TaskTimes& times) {
  const auto free = std::find_if(ends.begin(), ends.end(), [&](std::int64_t end) { return end <= times.begin_ns; });
  if (free == ends.end()) {
    ends.push_back(times.end_ns);
    return static_cast<int>(ends.size()) - 1;
  }
  *free = times.end_ns;
  return static_cast<int>(free - ends.begin());
}

}  // namespace

void Trace::add(const Flight& flight) {
  for (std::size_t i = 0; i < flight.graph().tasks.size(); ++i) {
    const schedule::Task& task = flight.graph().tasks[i];
    if (!flight.carries_out(static_cast<TaskId>(i))) continue;
    events_.push_back({&flight.graph(), static_cast<TaskId>(i), task.lane, schedule::name_of(task), flight.sequence, flight.step, task.bytes, flight.times[i]});
  }
}

void Trace::write(const std::string& path) const {
  std::vector<const Event*> sorted;
  for (const Event& event : events_) sorted.push_back(&event);
  std::sort(sorted.begin(), sorted.end(), [](const Event* a, const Event* b) { return a->times.begin_ns < b->times.begin_ns; });
  nlohmann::json list = nlohmann::json::array();
  std::array<std::vector<std::int64_t>, schedule::kLaneCount> rows;
  const std::int64_t origin = sorted.empty() ? 0 : sorted.front()->times.begin_ns;
  for (const Event* event : sorted) {
    const auto lane = static_cast<std::size_t>(event->lane);
    const int row = row_of(rows[lane], event->times);
    list.push_back({{"name", event->name},
                    {"cat", schedule::kLaneNames[lane]},
                    {"ph", "X"},
                    {"pid", 1},
                    {"tid", static_cast<int>(lane) * 100 + row},
                    {"ts", static_cast<double>(event->times.begin_ns - origin) / 1e3},
                    {"dur", static_cast<double>(event->times.end_ns - event->times.begin_ns) / 1e3},
                    {"args", {{"step", event->step}, {"bytes", event->bytes}}}});
  }
  for (std::size_t lane = 0; lane < rows.size(); ++lane) {
    for (std::size_t row = 0; row < rows[lane].size(); ++row) {
      list.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", lane * 100 + row}, {"args", {{"name", schedule::kLaneNames[lane]}}}});
    }
  }
  std::ofstream file(path, std::ios::trunc);
  file << nlohmann::json{{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}}.dump() << '\n';
  file.flush();
  if (!file) core::throw_storage("write", path, core::errno_code(), "check the folder and the space on its drive");
}

}  // namespace gsnake::runtime
