// What ran when, as Chrome/Perfetto trace events: one row a lane.
#pragma once

#include <string>
#include <vector>

#include "runtime/flight.h"

namespace gsnake::runtime {

// "update chunk 3 (delayed)".
std::string describe(const schedule::Task& task);

class Trace {
 public:
  // Takes the times of a graph that has ended.
  void add(const Flight& flight);
  // JSON; opens in ui.perfetto.dev and chrome://tracing. Throws Error(storage).
  void write(const std::string& path) const;

 private:
  struct Event {
    Lane lane = Lane::compute;
    std::string name;
    std::int64_t sequence = 0;
    std::int64_t step = 0;  // 0: not a step
    std::uint64_t bytes = 0;
    TaskTimes times;
  };
  std::vector<Event> events_;
};

}  // namespace gsnake::runtime
