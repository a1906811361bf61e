// What a program takes in memory, before any of it is allocated: its buffers, and the tables that go with its graphs.
#pragma once

#include <cstdint>

#include "schedule/graph.h"

namespace gsnake::schedule {

inline constexpr std::uint64_t kPageAlignment = 4096;
inline constexpr std::uint64_t kSmallAlignment = 64;  // of what is smaller than a page and no drive reads: norm partials, losses, token ids

// Of a buffer's address, and of its bytes as they are allocated.
std::uint64_t alignment_of(const Buffer& buffer);
std::uint64_t allocated_bytes(const Buffer& buffer);
// Of all buffers there.
std::uint64_t allocated_bytes(const Map& map, Space space);

// How many tasks of an SSD lane are carried out at once (docs/io.md has what it buys): slots beyond these let the lane run no further ahead.
inline constexpr std::size_t kSsdTasksInFlight = 16;

// What the executor keeps of every task while a graph runs (counters, times, its places in queues), and of every extent (its slot and checksums there, and
// its checksums in the next commit, the last one and its table).
inline constexpr std::uint64_t kBytesPerTaskInFlight = 112;
inline constexpr std::uint64_t kBytesPerExtent = 160;

// Structures that grow with the numbers of tasks, chunks and extents: the graphs, the edges between any two that may follow one another, and
// what two graphs in flight need.
std::uint64_t table_bytes(const Program& program);
// How many edges join() has.
std::size_t join_size(const Map& map, const Graph& previous, const Graph& next);

}  // namespace gsnake::schedule
