// What a simulation shows over time: its tasks, row by row, and the memory that they hold.
#pragma once

#include "sim/prediction.h"

namespace gsnake::sim {

// Of `count` graphs of the walk from `first` on, which is training step `first_step`.
std::vector<TimelineTask> timeline_of(const std::vector<SimulatedGraph>& graphs, std::size_t first, std::size_t count, std::int64_t first_step);

// Of one space, over the same graphs: a slot counts from its first write to the end of its last reader before the next write to all of it.
std::vector<MemoryPoint> memory_of(const Program& program, const std::vector<SimulatedGraph>& graphs, std::size_t first, std::size_t count, schedule::Space space);

}  // namespace gsnake::sim
