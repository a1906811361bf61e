// What ran when, as Chrome/Perfetto trace events: one row a lane.
#pragma once

#include <string>
#include <vector>

#include "runtime/flight.h"

namespace gsnake::runtime {

class Trace {
 public:
  struct Event {
    const schedule::Graph* graph = nullptr;  // while its program is there
    TaskId task = -1;
    Lane lane = Lane::compute;
    std::string name;
    std::int64_t sequence = 0;
    std::int64_t step = 0;  // 0: not a step
    std::uint64_t bytes = 0;
    TaskTimes times;
  };

  // Takes the times of a graph that has ended.
  void add(const Flight& flight);
  // JSON; opens in ui.perfetto.dev and chrome://tracing. Throws Error(storage).
  void write(const std::string& path) const;
  // Of tasks that were carried out, graph by graph.
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }

 private:
  std::vector<Event> events_;
};

}  // namespace gsnake::runtime
