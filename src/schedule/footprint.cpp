#include "schedule/footprint.h"

#include <algorithm>

#include "core/bytes.h"

namespace gsnake::schedule {
namespace {

std::uint64_t join_bytes(const Program& program) {
  std::uint64_t bytes = 0;
  for (const Graph& previous : program.graphs) {
    for (const Graph& next : program.graphs) {
      if (previous.end_order.empty() || next.end_order.empty() || !may_follow(previous.variant, next.variant, program.delayed)) continue;
      bytes += (previous.tasks.size() + next.tasks.size() + join_size(program.map, previous, next)) * sizeof(TaskId);
    }
  }
  return bytes;
}

}  // namespace

std::uint64_t alignment_of(const Buffer& buffer) { return buffer.bytes < kPageAlignment ? kSmallAlignment : kPageAlignment; }
std::uint64_t allocated_bytes(const Buffer& buffer) { return core::round_up(buffer.bytes, alignment_of(buffer)); }

std::uint64_t allocated_bytes(const Map& map, Space space) {
  std::uint64_t sum = 0;
  for (const Buffer& buffer : map.buffers) sum += buffer.space == space ? allocated_bytes(buffer) : 0;
  return sum;
}

std::uint64_t table_bytes(const Program& program) {
  std::uint64_t bytes = 0;
  std::size_t most = 0;
  for (const Graph& graph : program.graphs) {
    most = std::max(most, graph.tasks.size());
    bytes += graph.tasks.capacity() * sizeof(Task) + graph.access_list.capacity() * sizeof(Access) + graph.successors.capacity() * sizeof(TaskId) +
             graph.boundaries.capacity() * sizeof(Boundary);
  }
  for (const Chunk& chunk : program.map.chunks) bytes += sizeof(chunk) + chunk.partials.size() * sizeof(WaitingPlace);
  return bytes + 2 * most * kBytesPerTaskInFlight + join_bytes(program) + program.map.extents.size() * kBytesPerExtent;
}

}  // namespace gsnake::schedule
