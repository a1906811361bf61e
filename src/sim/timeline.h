// What a simulation shows over time: its tasks, row by row, and the memory that they hold.
#pragma once

#include "sim/prediction.h"

namespace gsnake::sim {

// Of graphs first.. of the walk, whose first training step is `first_step`.
std::vector<TimelineTask> timeline_of(const std::vector<SimulatedGraph>& graphs, std::size_t first, std::int64_t first_step);

// Of one space, over the same graphs: a slot counts from its first write to the end of its last reader before the next write to all of it.
std::vector<MemoryPoint> memory_of(const Program& program, const std::vector<SimulatedGraph>& graphs, std::size_t first, schedule::Space space);

}  // namespace gsnake::sim
