#include "sim/timeline.h"

#include <algorithm>
#include <map>

#include "schedule/footprint.h"
#include "schedule/task_name.h"

namespace gsnake::sim {
namespace {

using schedule::Access;
using schedule::Mode;

double start_of(const std::vector<SimulatedGraph>& graphs, std::size_t first) {
  double start = graphs.empty() ? 0.0 : graphs.back().results_at();
  for (const SimulatedTask& task : graphs[first].tasks) {
    if (task.carried_out) start = std::min(start, task.begin);
  }
  return start;
}

int free_row(std::vector<double>& ends, const SimulatedTask& task) {
  auto free = std::find_if(ends.begin(), ends.end(), [&](double end) { return end <= task.begin; });
  if (free == ends.end()) free = ends.insert(free, 0.0);
  *free = task.end;
  return static_cast<int>(free - ends.begin());
}

// When the slots of pools hold something, in the order of the walk. A slot is another buffer in each graph: what the next graph calls slot i is
// slot end_order[i] of this one.
class SlotUse {
 public:
  SlotUse(const Program& program, schedule::Space space) : map_(program.map), space_(space), physical_(map_.buffers.size()), held_(map_.buffers.size()) {
    for (std::size_t b = 0; b < physical_.size(); ++b) physical_[b] = b;
  }

  void pass(const SimulatedGraph& simulated) {
    for (std::size_t i = 0; i < simulated.tasks.size(); ++i) {
      if (!simulated.tasks[i].carried_out) continue;
      for (const Access& access : simulated.graph->accesses(simulated.graph->tasks[i])) note(access, simulated.tasks[i]);
    }
    turn(*simulated.graph);
  }

  // Bytes by time.
  std::map<double, std::int64_t> end() {
    for (Held& held : held_) close(held);
    return std::move(changes_);
  }

 private:
  struct Held {
    double from = -1.0;  // below 0: nothing
    double until = 0.0;
    std::int64_t bytes = 0;
  };

  void note(const Access& access, const SimulatedTask& task) {
    if (!map_.is_buffer(access.resource)) return;
    const schedule::Buffer& buffer = map_.buffers[static_cast<std::size_t>(access.resource)];
    if (buffer.space != space_ || buffer.pool < 0) return;
    Held& held = held_[physical_[static_cast<std::size_t>(access.resource)]];
    const bool fresh = access.mode == Mode::write && access.offset == 0 && task.begin >= held.until;
    if (fresh) close(held);
    if (held.from < 0.0) held = {task.begin, task.end, static_cast<std::int64_t>(schedule::allocated_bytes(buffer))};
    held.from = std::min(held.from, task.begin);
    held.until = std::max(held.until, task.end);
  }

  void close(Held& held) {
    if (held.from >= 0.0) {
      changes_[held.from] += held.bytes;
      changes_[held.until] -= held.bytes;
    }
    held = {};
  }

  void turn(const Graph& graph) {
    const std::vector<std::size_t> before = physical_;
    for (std::size_t b = 0; b < physical_.size(); ++b) {
      const int pool = map_.buffers[b].pool;
      if (pool < 0) continue;
      const auto first = static_cast<std::size_t>(map_.pools[static_cast<std::size_t>(pool)].first_buffer);
      physical_[b] = before[first + static_cast<std::size_t>(graph.end_order[static_cast<std::size_t>(pool)][b - first])];
    }
  }

  const schedule::Map& map_;
  const schedule::Space space_;
  std::vector<std::size_t> physical_;
  std::vector<Held> held_;
  std::map<double, std::int64_t> changes_;
};

std::uint64_t homes(const schedule::Map& map, schedule::Space space) {
  std::uint64_t bytes = 0;
  for (const schedule::Buffer& buffer : map.buffers) bytes += buffer.pool < 0 && buffer.space == space ? schedule::allocated_bytes(buffer) : 0;
  return bytes;
}

}  // namespace

std::vector<TimelineTask> timeline_of(const std::vector<SimulatedGraph>& graphs, std::size_t first, std::size_t count, std::int64_t first_step) {
  std::vector<TimelineTask> timeline;
  const double start = start_of(graphs, first);
  struct Entry {
    std::size_t graph;
    std::size_t task;
  };
  std::vector<Entry> entries;
  for (std::size_t g = first; g < first + count; ++g) {
    for (std::size_t i = 0; i < graphs[g].tasks.size(); ++i) {
      if (graphs[g].tasks[i].carried_out) entries.push_back({g, i});
    }
  }
  const auto times = [&](const Entry& entry) -> const SimulatedTask& { return graphs[entry.graph].tasks[entry.task]; };
  std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) { return times(a).begin < times(b).begin; });
  std::array<std::vector<double>, kLaneCount> rows;
  for (const Entry& entry : entries) {
    const schedule::Task& task = graphs[entry.graph].graph->tasks[entry.task];
    const SimulatedTask& time = times(entry);
    timeline.push_back({task.lane, free_row(rows[static_cast<std::size_t>(task.lane)], time), schedule::name_of(task),
                        first_step + static_cast<std::int64_t>(entry.graph - first), time.begin - start, time.end - start, task.bytes});
  }
  return timeline;
}

std::vector<MemoryPoint> memory_of(const Program& program, const std::vector<SimulatedGraph>& graphs, std::size_t first, std::size_t count, schedule::Space space) {
  SlotUse use(program, space);
  for (const SimulatedGraph& graph : graphs) use.pass(graph);
  const double start = start_of(graphs, first);
  const double end = graphs[first + count - 1].results_at();
  auto bytes = static_cast<std::int64_t>(homes(program.map, space));
  std::vector<MemoryPoint> points{{0.0, static_cast<std::uint64_t>(bytes)}};
  for (const auto& [time, change] : use.end()) {
    bytes += change;
    if (time > end) break;
    const double since = std::max(0.0, time - start);
    if (since > points.back().seconds) points.push_back({since, 0});
    points.back().bytes = static_cast<std::uint64_t>(bytes);
  }
  return points;
}

}  // namespace gsnake::sim
