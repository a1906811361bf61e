#include "sim/simulation.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "core/extent.h"
#include "sim/speeds.h"

namespace gsnake::sim {

using namespace schedule;

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kDone = 1e-12;  // seconds of work that rounding may leave

class Simulation {
 public:
  Simulation(const Program& program, const std::vector<Stop>& walk, const Machine& machine, const Rules& rules)
      : program_(program), machine_(machine), rules_(rules), walk_(walk), known_speeds_(machine) {
    for (std::size_t g = 0; g < walk.size(); ++g) add_graph(g);
  }

  std::vector<SimulatedGraph> run() {
    start_what_may();
    begin_what_can();
    while (under_way_ > 0 || !alarms_.empty()) advance();
    for (const std::size_t left : left_) {
      if (left > 0) throw std::logic_error("simulate: tasks wait for one another");
    }
    return std::move(graphs_);
  }

 private:
  struct Work {
    Place place;
    double left = 0.0;  // seconds at full speed
    double due = 0.0;   // it ends no sooner
    int waits = 0;      // of a commit, still to come
  };
  enum class Phase : std::uint8_t { starts, is_due };
  struct Alarm {
    double time = 0.0;
    std::uint64_t order = 0;  // of those at one time: as they were set
    Phase phase = Phase::starts;
    Work work;
  };
  struct Later {
    bool operator()(const Alarm& a, const Alarm& b) const { return std::tie(a.time, a.order) > std::tie(b.time, b.order); }
  };
  using Waiting = std::tuple<std::int32_t, std::int32_t, TaskId>;  // graph, priority, task
  struct LaneState {
    std::vector<Place> in_order;
    std::size_t next = 0;
    std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> ready;
    std::vector<Work> at_work;
    int in_hand = 0;  // those that wait for their time included
    double emulated_until = 0.0;
    Place freed_by{};
    double freed_at = 0.0;
  };
  struct Readiness {
    std::int32_t waiting = 0;
    double since = 0.0;
    Place by{};
  };

  // Successors in the next graph: of task i, to[begin[i]] up to to[begin[i + 1]].
  struct Joins {
    std::vector<std::size_t> begin;
    std::vector<TaskId> to;
  };

  void add_graph(std::size_t g) {
    SimulatedGraph& made = graphs_.emplace_back();
    made.graph = &program_.graph(walk_[g].variant);
    made.tasks.resize(made.graph->tasks.size());
    readiness_.emplace_back(made.tasks.size());
    for (std::size_t i = 0; i < made.tasks.size(); ++i) {
      made.tasks[i].carried_out = walk_[g].conditions.carry_out(made.graph->tasks[i]);
      readiness_[g][i].waiting = made.graph->predecessors[i] + 1;  // until the graph is started
    }
    left_.push_back(made.tasks.size());
    held_.emplace_back();
    if (rules_.reads_state_late) hold_state_reads(g);
    joins_.push_back(nullptr);
    if (g == 0) return;
    joins_[g - 1] = &joined(*graphs_[g - 1].graph, *made.graph);
    for (const TaskId to : joins_[g - 1]->to) ++readiness_[g][static_cast<std::size_t>(to)].waiting;
  }

  // Steps of one kind follow one another, so that a few pairs make up a walk.
  const Joins& joined(const Graph& previous, const Graph& next) {
    const auto [found, made] = joins_of_.try_emplace({&previous, &next});
    Joins& joins = found->second;
    if (!made) return joins;
    joins.begin.assign(previous.tasks.size() + 1, 0);
    for (const Edge& edge : join(program_.map, previous, next)) {
      ++joins.begin[static_cast<std::size_t>(edge.from) + 1];
      joins.to.push_back(edge.to);  // in order of `from`
    }
    for (std::size_t i = 0; i + 1 < joins.begin.size(); ++i) joins.begin[i + 1] += joins.begin[i];
    return joins;
  }

  // Until the first head is through: what only an update of this step waits for.
  void hold_state_reads(std::size_t g) {
    const Graph& graph = *graphs_[g].graph;
    if (std::none_of(graph.tasks.begin(), graph.tasks.end(), [](const Task& task) { return task.op == Op::head; })) return;
    for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
      const std::span<const TaskId> successors = graph.successors_of(static_cast<TaskId>(i));
      const auto updates_now = [&](TaskId successor) {
        const Task& task = graph.tasks[static_cast<std::size_t>(successor)];
        return task.op == Op::update && task.step_offset == 0;
      };
      if (graph.tasks[i].op != Op::read || !reads_state(graph, graph.tasks[i]) || std::none_of(successors.begin(), successors.end(), updates_now)) continue;
      ++readiness_[g][i].waiting;
      held_[g].push_back(static_cast<TaskId>(i));
    }
  }

  [[nodiscard]] bool reads_state(const Graph& graph, const Task& read) const {
    const int extent = graph.find(read, Role::source)->resource - static_cast<int>(program_.map.buffers.size());
    const core::ExtentKind kind = program_.map.extents[static_cast<std::size_t>(extent)].kind;
    return core::is_state(kind) && kind != core::ExtentKind::weights;
  }

  [[nodiscard]] const Task& task(const Place& place) const { return graphs_[static_cast<std::size_t>(place.graph)].graph->tasks[static_cast<std::size_t>(place.task)]; }
  SimulatedTask& times(const Place& place) { return graphs_[static_cast<std::size_t>(place.graph)].tasks[static_cast<std::size_t>(place.task)]; }
  Readiness& readiness(const Place& place) { return readiness_[static_cast<std::size_t>(place.graph)][static_cast<std::size_t>(place.task)]; }
  LaneState& state(Lane lane) { return lanes_[static_cast<std::size_t>(lane)]; }

  // A graph starts when all but the one before it have ended; of two in flight, the later one may end first, and one of no tasks ends as it starts.
  void start_what_may() {
    const std::size_t at_once = rules_.drains ? 1 : 2;
    const auto note_ended = [this] {
      while (ended_ < started_ && left_[ended_] == 0) ++ended_;
    };
    for (note_ended(); started_ < std::min(graphs_.size(), ended_ + at_once); note_ended()) start(started_++);
  }

  void start(std::size_t g) {
    for (std::size_t i = 0; i < graphs_[g].tasks.size(); ++i) {
      const Place place{static_cast<std::int32_t>(g), static_cast<TaskId>(i)};
      const Lane lane = task(place).lane;
      if (runs_in_order(lane)) state(lane).in_order.push_back(place);
      settle(place, last_);
    }
  }

  void settle(const Place& place, const Place& by) {
    Readiness& own = readiness(place);
    if (--own.waiting > 0) return;
    own.since = now_;
    own.by = by;
    const Lane lane = task(place).lane;
    if (runs_in_order(lane)) return;
    if (times(place).carried_out) {
      state(lane).ready.push({place.graph, task(place).priority, place.task});
    } else {
      passed_over_.push_back(place);
    }
  }

  void begin_what_can() {
    for (bool more = true; more;) {
      more = false;
      while (!passed_over_.empty()) {
        const Place place = passed_over_.back();
        passed_over_.pop_back();
        times(place).begin = times(place).end = now_;
        times(place).after = readiness(place).by;
        complete(place);
      }
      for (int lane = 0; lane < kLaneCount; ++lane) more = begin_on(static_cast<Lane>(lane)) || more;
    }
  }

  bool begin_on(Lane lane) {
    LaneState& own = state(lane);
    bool begun = false;
    if (runs_in_order(lane)) {
      while (own.in_hand == 0 && own.next < own.in_order.size() && readiness(own.in_order[own.next]).waiting == 0) {
        begin(own, own.in_order[own.next++]);
        begun = true;
      }
      return begun;
    }
    while (own.in_hand < machine_.lane(lane).at_once && !own.ready.empty()) {
      const auto [graph, priority, id] = own.ready.top();
      own.ready.pop();
      begin(own, {graph, id});
      begun = true;
    }
    return begun;
  }

  void begin(LaneState& own, const Place& place) {
    const Task& begun = task(place);
    const LaneModel& model = machine_.lane(begun.lane);
    SimulatedTask& when = times(place);
    const Readiness& ready = readiness(place);
    when.begin = now_;
    when.after = ready.since < now_ ? own.freed_by : ready.by;
    if (!when.carried_out) {
      when.end = now_;
      own.freed_by = place;
      return complete(place);
    }
    ++own.in_hand;
    Work work{place, machine_.seconds(begun), 0.0, 0};
    if (begun.lane == Lane::commit && machine_.commit_waits > 0) {
      work.waits = machine_.commit_waits;
      next_op_of(work);
    }
    if (begun.lane == Lane::compute) work.left += slower_after_rest(own, work.left);
    if (model.emulated > 0.0) {
      const double amount = begun.lane == Lane::compute ? begun.flops : static_cast<double>(begun.bytes);
      work.due = own.emulated_until = std::max(own.emulated_until, now_) + amount / model.emulated;
    }
    if (model.latency > 0.0) {
      set_alarm(now_ + model.latency, Phase::starts, work);
    } else {
      set_to_work(work);
    }
  }

  // A drive's queue is served in order: a commit's ops, of which each begins when the one before it is over, wait for what is in it.
  void next_op_of(Work& commit) {
    --commit.waits;
    commit.left = machine_.seconds(task(commit.place)) / machine_.commit_waits + seconds_in_hand();
  }

  // That the drives take for one transfer of those at work: all share their rates alike, and for each that ends another begins.
  double seconds_in_hand() {
    find_speeds();
    double longest = 0.0;
    for (const Lane lane : {Lane::ssd_read, Lane::ssd_write}) {
      for (const Work& work : state(lane).at_work) longest = std::max(longest, machine_.seconds(task(work.place)) / speeds_[static_cast<std::size_t>(lane)]);
    }
    return longest;
  }

  // What the first work after a rest takes longer.
  double slower_after_rest(const LaneState& compute, double seconds) {
    const RestProfile& rest = machine_.rest;
    if (rest.after <= 0.0) return 0.0;
    if (now_ - compute.freed_at >= rest.after) warm_up_left_ = rest.work;
    const double slow = std::min(warm_up_left_, seconds);
    warm_up_left_ -= slow;
    return slow * (rest.factor - 1.0);
  }

  void set_alarm(double time, Phase phase, const Work& work) { alarms_.push({time, alarms_set_++, phase, work}); }

  void set_to_work(const Work& work) {
    LaneState& own = state(task(work.place).lane);
    own.at_work.push_back(work);
    ++under_way_;
    speeds_hold_ = false;
  }

  void find_speeds() {
    if (speeds_hold_) return;
    LaneCounts counts{};
    for (std::size_t lane = 0; lane < counts.size(); ++lane) counts[lane] = static_cast<int>(lanes_[lane].at_work.size());
    speeds_ = known_speeds_.of(counts);
    speeds_hold_ = true;
  }

  // To the next instant at which something happens.
  void advance() {
    find_speeds();
    double next = alarms_.empty() ? kNever : alarms_.top().time;
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      double least = kNever;
      for (const Work& work : lanes_[lane].at_work) least = std::min(least, work.left);
      if (least < kNever) next = std::min(next, now_ + least / speeds_[lane]);
    }
    const double seconds = next - now_;
    now_ = next;
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      const double done = seconds * speeds_[lane];
      for (Work& work : lanes_[lane].at_work) work.left -= done;
    }
    end_what_is_done();
    while (!alarms_.empty() && alarms_.top().time <= now_) {
      const Alarm alarm = alarms_.top();
      alarms_.pop();
      if (alarm.phase == Phase::starts) {
        set_to_work(alarm.work);
      } else {
        end(alarm.work);
      }
    }
    begin_what_can();
  }

  // What is left may be less than the clock can tell apart. At no speed, none of which is above 1, is it over sooner than at full speed.
  [[nodiscard]] bool is_done(const Work& work, double speed) const {
    return work.left <= kDone || (now_ + work.left <= now_ && now_ + work.left / speed <= now_);
  }

  void end_what_is_done() {
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      std::vector<Work>& at_work = lanes_[lane].at_work;
      for (std::size_t i = 0; i < at_work.size();) {
        if (!is_done(at_work[i], speeds_[lane])) {
          ++i;
          continue;
        }
        if (at_work[i].waits > 0) {
          next_op_of(at_work[i]);
          continue;
        }
        const Work done = at_work[i];
        at_work.erase(at_work.begin() + static_cast<std::ptrdiff_t>(i));
        --under_way_;
        speeds_hold_ = false;
        if (done.due > now_) {
          set_alarm(done.due, Phase::is_due, done);
        } else {
          end(done);
        }
      }
    }
  }

  void end(const Work& work) {
    LaneState& own = state(task(work.place).lane);
    --own.in_hand;
    own.freed_by = work.place;
    own.freed_at = now_;
    times(work.place).end = now_;
    complete(work.place);
  }

  void complete(const Place& place) {
    const auto g = static_cast<std::size_t>(place.graph);
    last_ = place;
    for (TaskId successor : graphs_[g].graph->successors_of(place.task)) settle({place.graph, successor}, place);
    if (const Joins* joins = joins_[g]; joins != nullptr) {
      const auto i = static_cast<std::size_t>(place.task);
      for (std::size_t at = joins->begin[i]; at < joins->begin[i + 1]; ++at) settle({place.graph + 1, joins->to[at]}, place);
    }
    if (task(place).op == Op::head) {
      for (TaskId held : std::exchange(held_[g], {})) settle({place.graph, held}, place);
    }
    if (--left_[g] == 0) start_what_may();
  }

  const Program& program_;
  const Machine& machine_;
  const Rules rules_;
  const std::vector<Stop>& walk_;
  std::vector<SimulatedGraph> graphs_;
  std::vector<std::vector<Readiness>> readiness_;        // by graph and task
  std::map<std::pair<const Graph*, const Graph*>, Joins> joins_of_;
  std::vector<const Joins*> joins_;                      // by graph, to the next one; of the last null
  std::vector<std::vector<TaskId>> held_;                // by graph: until its first head is through
  std::vector<std::size_t> left_;                        // by graph: tasks
  std::array<LaneState, kLaneCount> lanes_;
  std::vector<Place> passed_over_;
  std::priority_queue<Alarm, std::vector<Alarm>, Later> alarms_;
  std::uint64_t alarms_set_ = 0;
  KnownSpeeds known_speeds_;
  LaneSpeeds speeds_{};
  bool speeds_hold_ = false;
  std::size_t started_ = 0;  // graphs
  std::size_t ended_ = 0;    // of which so many, from the first on, have ended
  int under_way_ = 0;  // tasks at work
  double now_ = 0.0;
  double warm_up_left_ = 0.0;  // seconds of computing until it is as fast as ever
  Place last_{};
};

}  // namespace

std::vector<SimulatedGraph> simulate(const Program& program, const std::vector<Stop>& walk, const Machine& machine, const Rules& rules) {
  return Simulation(program, walk, machine, rules).run();
}

}  // namespace gsnake::sim
