#include "simulation.h"

#include <algorithm>
#include <queue>
#include <set>
#include <tuple>

#include "schedule/footprint.h"

namespace gsnake::sim {

using namespace schedule;

namespace {


struct Place {
  std::size_t graph = 0;
  TaskId task = -1;
};

class Simulation {
 public:
  Simulation(const Program& program, const std::vector<Variant>& walk, const Rates& rates) : rates_(rates) {
    for (std::size_t g = 0; g < walk.size(); ++g) {
      SimulatedGraph& made = graphs_.emplace_back();
      made.graph = &program.graph(walk[g]);
      made.tasks.resize(made.graph->tasks.size());
      for (std::size_t i = 0; i < made.tasks.size(); ++i) made.tasks[i].id = static_cast<TaskId>(i);
      waiting_.push_back(made.graph->predecessors);
      for (std::int32_t& count : waiting_.back()) ++count;  // until the graph is started
      left_.push_back(made.tasks.size());
      joins_.emplace_back(made.tasks.size());
      if (g == 0) continue;
      for (const Edge& edge : join(program.map, *graphs_[g - 1].graph, *made.graph)) {
        joins_[g - 1][static_cast<std::size_t>(edge.from)].push_back(edge.to);
        ++waiting_[g][static_cast<std::size_t>(edge.to)];
      }
    }
  }

  std::vector<SimulatedGraph> run() {
    for (std::size_t g = 0; g < std::min<std::size_t>(2, graphs_.size()); ++g) start(g);
    while (!events_.empty()) {
      const auto [time, order, place] = events_.top();
      events_.pop();
      now_ = time;
      complete(place);
    }
    return std::move(graphs_);
  }

 private:
  struct Event {
    double time = 0.0;
    std::uint64_t order = 0;  // of events at one time: as they were scheduled
    Place place;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const { return std::tie(a.time, a.order) > std::tie(b.time, b.order); }
  };
  struct LaneState {
    std::vector<Place> in_order;
    std::size_t next = 0;
    std::set<std::tuple<std::size_t, std::int32_t, TaskId>> ready;  // graph, priority, task
    std::size_t in_flight = 0;
    double free_at = 0.0;
  };

  [[nodiscard]] const Task& task(const Place& place) const { return graphs_[place.graph].graph->tasks[static_cast<std::size_t>(place.task)]; }
  LaneState& state(Lane lane) { return lanes_[static_cast<std::size_t>(lane)]; }
  [[nodiscard]] std::int32_t& waiting(const Place& place) { return waiting_[place.graph][static_cast<std::size_t>(place.task)]; }

  void start(std::size_t g) {
    for (std::size_t i = 0; i < graphs_[g].tasks.size(); ++i) {
      const Place place{g, static_cast<TaskId>(i)};
      const Lane lane = task(place).lane;
      if (runs_in_order(lane)) state(lane).in_order.push_back(place);
      settle(place);
    }
    for (int lane = 0; lane < kLaneCount; ++lane) dispatch(static_cast<Lane>(lane));
  }

  void settle(const Place& place) {
    if (--waiting(place) > 0) return;
    const Task& ready = task(place);
    if (!runs_in_order(ready.lane)) state(ready.lane).ready.insert({place.graph, ready.priority, place.task});
  }

  void dispatch(Lane lane) {
    LaneState& own = state(lane);
    if (runs_in_order(lane)) {
      if (own.in_flight > 0 || own.next == own.in_order.size() || waiting(own.in_order[own.next]) > 0) return;
      begin(lane, own.in_order[own.next++]);
      return;
    }
    const std::size_t most = lane == Lane::ssd_read || lane == Lane::ssd_write ? schedule::kSsdTasksInFlight : 1;
    while (own.in_flight < most && !own.ready.empty()) {
      const auto [graph, priority, id] = *own.ready.begin();
      own.ready.erase(own.ready.begin());
      begin(lane, {graph, id});
    }
  }

  void begin(Lane lane, const Place& place) {
    LaneState& own = state(lane);
    const Task& begun = task(place);
    const double amount = lane == Lane::compute ? begun.flops : static_cast<double>(begun.bytes);
    const double rate = rates_[static_cast<std::size_t>(lane)];
    SimulatedTask& times = graphs_[place.graph].tasks[static_cast<std::size_t>(place.task)];
    times.begin = std::max(own.free_at, now_);
    times.end = own.free_at = times.begin + (rate > 0.0 ? amount / rate : 0.0);
    ++own.in_flight;
    events_.push({times.end, scheduled_++, place});
  }

  void complete(const Place& place) {
    const Graph& graph = *graphs_[place.graph].graph;
    const auto i = static_cast<std::size_t>(place.task);
    --state(task(place).lane).in_flight;
    for (TaskId successor : graph.successors_of(place.task)) settle({place.graph, successor});
    for (TaskId successor : joins_[place.graph][i]) settle({place.graph + 1, successor});
    if (--left_[place.graph] == 0 && place.graph + 2 < graphs_.size()) start(place.graph + 2);
    for (int lane = 0; lane < kLaneCount; ++lane) dispatch(static_cast<Lane>(lane));
  }

  const Rates rates_;
  std::vector<SimulatedGraph> graphs_;
  std::vector<std::vector<std::int32_t>> waiting_;      // by graph and task
  std::vector<std::vector<std::vector<TaskId>>> joins_;  // by graph and task: in the next graph
  std::vector<std::size_t> left_;
  std::array<LaneState, kLaneCount> lanes_;
  std::priority_queue<Event, std::vector<Event>, Later> events_;
  std::uint64_t scheduled_ = 0;
  double now_ = 0.0;
};

}  // namespace

double SimulatedGraph::first_begin(Lane lane) const {
  double first = 1e300;
  for (const SimulatedTask& task : tasks) {
    if (graph->tasks[static_cast<std::size_t>(task.id)].lane == lane) first = std::min(first, task.begin);
  }
  return first;
}

double SimulatedGraph::last_end(Lane lane) const {
  double last = 0.0;
  for (const SimulatedTask& task : tasks) {
    if (graph->tasks[static_cast<std::size_t>(task.id)].lane == lane) last = std::max(last, task.end);
  }
  return last;
}

std::vector<SimulatedGraph> simulate(const Program& program, const std::vector<Variant>& walk, const Rates& rates) {
  return Simulation(program, walk, rates).run();
}

}  // namespace gsnake::sim
