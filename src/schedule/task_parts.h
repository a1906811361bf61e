// What tasks are put together from.
#pragma once

#include "schedule/graph.h"

namespace gsnake::schedule {

inline Task chunk_task(Op op, Lane lane, int chunk, std::uint64_t bytes, When when = When::always, int step_offset = 0) {
  Task task;
  task.when = when;
  task.op = op;
  task.lane = lane;
  task.chunk = chunk;
  task.bytes = bytes;
  task.step_offset = static_cast<std::int8_t>(step_offset);
  return task;
}

inline Access from(int resource, std::uint64_t offset = 0) { return {.role = Role::source, .resource = resource, .offset = offset}; }
inline Access into(int resource, std::uint64_t offset = 0) { return {.role = Role::destination, .mode = Mode::write, .resource = resource, .offset = offset}; }

inline Role state_role(std::size_t k) { return static_cast<Role>(static_cast<std::size_t>(Role::state0) + k); }

}  // namespace gsnake::schedule
