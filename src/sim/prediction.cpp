#include "sim/prediction.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "sim/timeline.h"

namespace gsnake::sim {
namespace {

constexpr std::size_t kStepsToSettle = 2;  // after the first, until the pipeline is full
constexpr std::size_t kMostSteadySteps = 16;
constexpr std::size_t kShown = 2;  // steps of a timeline

// load, the first step, and so many that the last ones are steady. commit_every 0: without commits.
std::vector<Stop> walk_of(const Program& program, std::size_t commit_every, std::size_t steady) {
  std::vector<Stop> walk{{Variant::load, {}}};
  const Variant later = program.delayed ? Variant::train : Variant::train_first;
  const auto commits = [&](std::size_t step) { return program.map.problem.commits && commit_every > 0 && step % commit_every == 0; };
  for (std::size_t step = 1; step <= 1 + kStepsToSettle + steady; ++step) {
    walk.push_back({step == 1 ? Variant::train_first : later, {commits(step), step > 1 && commits(step - 1), false, {}}});
  }
  return walk;
}

struct Window {
  double begin = 0.0;
  double end = 0.0;
  double steps = 1.0;
};

// What runs on a thread of the lane's own is under way from when that is awake; of a transfer waking is a part.
double begin_of(const SimulatedTask& task, Lane lane, const Machine& machine) {
  const bool is_transfer = lane == Lane::ssd_read || lane == Lane::ssd_write;
  return is_transfer ? task.begin : std::min(task.end, task.begin + machine.lane(lane).overhead);
}

// Seconds of a steady step in which a lane has a task in hand.
std::array<double, kLaneCount> busy_in(const std::vector<SimulatedGraph>& graphs, const Machine& machine, const Window& window) {
  std::array<std::vector<std::pair<double, double>>, kLaneCount> spans;
  for (const SimulatedGraph& graph : graphs) {
    for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
      const SimulatedTask& task = graph.tasks[i];
      const Lane lane = graph.graph->tasks[i].lane;
      const double begin = std::max(begin_of(task, lane, machine), window.begin);
      const double end = std::min(task.end, window.end);
      if (task.carried_out && end > begin) spans[static_cast<std::size_t>(lane)].emplace_back(begin, end);
    }
  }
  std::array<double, kLaneCount> busy{};
  for (std::size_t lane = 0; lane < spans.size(); ++lane) {
    std::sort(spans[lane].begin(), spans[lane].end());
    double until = window.begin;
    for (const auto& [begin, end] : spans[lane]) {
      busy[lane] += std::max(0.0, end - std::max(begin, until));
      until = std::max(until, end);
    }
    busy[lane] /= window.steps;
  }
  return busy;
}

struct LaneSum {
  double seconds = 0.0;
  double latency = 0.0;
  double amount = 0.0;
};
using LaneSums = std::array<LaneSum, kLaneCount>;

LaneSums sums_of(const Graph& graph, const schedule::Conditions& conditions, const Machine& machine) {
  LaneSums sums;
  for (const schedule::Task& task : graph.tasks) {
    if (!conditions.carry_out(task)) continue;
    LaneSum& sum = sums[static_cast<std::size_t>(task.lane)];
    sum.seconds += machine.seconds(task);
    sum.latency += machine.lane(task.lane).latency;
    sum.amount += task.lane == Lane::compute ? task.flops : static_cast<double>(task.bytes);
  }
  return sums;
}

// That all tasks of a lane take by themselves, as many at once as may be.
std::array<double, kLaneCount> limits_of(const LaneSums& sums, const Machine& machine) {
  std::array<double, kLaneCount> limits{};
  for (std::size_t lane = 0; lane < limits.size(); ++lane) {
    const LaneModel& model = machine.lanes[lane];
    double at_once = model.at_once;
    for (int r = 0; r < kResources; ++r) {
      const double capacity = machine.capacity_of(static_cast<Resource>(r), model.at_once);
      const double used = model.uses[static_cast<std::size_t>(r)];
      if (capacity > 0.0 && used > 0.0) at_once = std::min(at_once, capacity / used);
    }
    const double alone = sums[lane].seconds / at_once + sums[lane].latency / model.at_once;
    limits[lane] = model.emulated > 0.0 ? std::max(alone, sums[lane].amount / model.emulated) : alone;
  }
  return limits;
}

PerResource shared_by(const LaneSums& sums, const Machine& machine) {
  PerResource seconds{};
  for (const Resource resource : {Resource::cores, Resource::dram, Resource::bus_in, Resource::bus_out}) {
    const auto r = static_cast<std::size_t>(resource);
    const double capacity = machine.capacity_of(resource, 1);
    for (std::size_t lane = 0; capacity > 0.0 && lane < sums.size(); ++lane) seconds[r] += sums[lane].seconds * machine.lanes[lane].uses[r] / capacity;
  }
  return seconds;
}

void limit_by_drives(Prediction& prediction, const Machine& machine) {
  const double both = machine.capacity_of(Resource::drives, 1);
  if (both <= 0.0) return;
  double& reads = prediction.lanes[static_cast<std::size_t>(Lane::ssd_read)].limit;
  double& writes = prediction.lanes[static_cast<std::size_t>(Lane::ssd_write)].limit;
  double& slower = reads > writes ? reads : writes;
  slower = std::max(slower, (reads + writes) / both);
}

// Backwards from the last results, each task to the one that it began behind, as far as the window goes.
std::vector<PathPart> critical_path(const std::vector<SimulatedGraph>& graphs, const Window& window) {
  const std::vector<schedule::Task>& last = graphs.back().graph->tasks;
  const auto conclude = std::find_if(last.rbegin(), last.rend(), [](const schedule::Task& task) { return task.op == schedule::Op::conclude; });
  Place place{static_cast<std::int32_t>(graphs.size()) - 1, static_cast<TaskId>(last.rend() - conclude) - 1};
  std::map<std::string, PathPart> parts;
  double until = window.end;
  while (place.graph >= 0 && until > window.begin) {
    const SimulatedGraph& graph = graphs[static_cast<std::size_t>(place.graph)];
    const SimulatedTask& time = graph.tasks[static_cast<std::size_t>(place.task)];
    const schedule::Task& task = graph.graph->tasks[static_cast<std::size_t>(place.task)];
    const std::string what = std::string(schedule::kLaneNames[static_cast<std::size_t>(task.lane)]) + ": " + schedule::kOpNames[static_cast<std::size_t>(task.op)];
    PathPart& part = parts[what];
    part.what = what;
    part.seconds += (until - std::max(time.begin, window.begin)) / window.steps;
    part.tasks += 1.0 / window.steps;
    until = std::min(until, time.begin);
    place = time.after;
  }
  std::vector<PathPart> sorted;
  for (auto& [what, part] : parts) {
    if (part.seconds > 0.0) sorted.push_back(std::move(part));
  }
  std::sort(sorted.begin(), sorted.end(), [](const PathPart& a, const PathPart& b) { return a.seconds > b.seconds; });
  return sorted;
}

// A timeline's graphs of a walk, in which graph g is step g.
struct Shown {
  std::size_t first = 0;
  std::size_t count = 0;
  std::int64_t step = 0;  // that the first stands for
};

Shown shown_of(const PredictionOptions& options, std::size_t first_steady, std::size_t last) {
  const auto [from, to] = options.traced;
  if (from <= 0) return {last + 1 - kShown, kShown, static_cast<std::int64_t>(last + 1 - kShown)};
  const auto asked = static_cast<std::size_t>(std::max<std::int64_t>(0, to - from)) + 1;
  const auto first = static_cast<std::size_t>(from);
  if (first < first_steady) return {first, std::min(asked, last + 1 - first), from};
  // Commits at the same places; none where a round is longer than the walk.
  const std::size_t alike = first_steady + (first - first_steady) % static_cast<std::size_t>(std::max(1, options.commit_every));
  const std::size_t shown = alike > last ? first_steady : alike;
  return {shown, std::min(asked, last + 1 - shown), from};
}

Prediction predict_steady(const Program& program, const Machine& machine, const PredictionOptions& options, std::size_t commit_every, std::size_t steady) {
  const std::vector<Stop> walk = walk_of(program, commit_every, steady);
  const std::vector<SimulatedGraph> graphs = simulate(program, walk, machine, options.rules);
  const std::size_t first_steady = graphs.size() - steady;
  const Window window{graphs[first_steady - 1].results_at(), graphs.back().results_at(), static_cast<double>(steady)};

  Prediction prediction;
  double load_end = 0.0;
  for (const SimulatedTask& task : graphs.front().tasks) load_end = std::max(load_end, task.end);
  for (std::size_t g = 1; g < first_steady; ++g) prediction.step_seconds.push_back(graphs[g].results_at() - (g == 1 ? load_end : graphs[g - 1].results_at()));
  prediction.step_seconds.push_back((window.end - window.begin) / window.steps);
  const std::array<double, kLaneCount> busy = busy_in(graphs, machine, window);
  for (std::size_t lane = 0; lane < busy.size(); ++lane) prediction.lanes[lane].busy = busy[lane];
  for (std::size_t g = first_steady; g < graphs.size(); ++g) {
    const LaneSums sums = sums_of(*graphs[g].graph, walk[g].conditions, machine);
    const std::array<double, kLaneCount> limits = limits_of(sums, machine);
    for (std::size_t lane = 0; lane < limits.size(); ++lane) prediction.lanes[lane].limit += limits[lane] / window.steps;
    const PerResource shared = shared_by(sums, machine);
    for (std::size_t r = 0; r < shared.size(); ++r) prediction.shared[r] += shared[r] / window.steps;
  }
  limit_by_drives(prediction, machine);
  prediction.critical_path = critical_path(graphs, window);
  double read = 0.0;
  double written = 0.0;
  for (std::size_t g = first_steady; g < graphs.size(); ++g) {
    read += static_cast<double>(graphs[g].graph->lane_bytes(Lane::ssd_read, walk[g].conditions)) / window.steps;
    written += static_cast<double>(graphs[g].graph->lane_bytes(Lane::ssd_write, walk[g].conditions)) / window.steps;
  }
  prediction.ssd_read_bytes = static_cast<std::uint64_t>(read);
  prediction.ssd_write_bytes = static_cast<std::uint64_t>(written);
  if (options.timeline) {
    const Shown shown = shown_of(options, first_steady, graphs.size() - 1);
    prediction.timeline = timeline_of(graphs, shown.first, shown.count, shown.step);
    prediction.host_memory = memory_of(program, graphs, shown.first, shown.count, schedule::Space::host);
    prediction.device_memory = memory_of(program, graphs, shown.first, shown.count, schedule::Space::device);
  }
  return prediction;
}

// `committed` is of `steps` steps of which one commits; of the run's one of `round` does.
void add_commits(Prediction& prediction, const Prediction& committed, std::size_t steps, std::size_t round) {
  const double share = static_cast<double>(steps) / static_cast<double>(round);
  const auto blend = [&](double without, double with) { return without + std::max(0.0, with - without) * share; };
  double& step = prediction.step_seconds.back();
  const double longer = blend(step, committed.step()) - step;
  step += longer;
  std::vector<PathPart>& path = prediction.critical_path;
  const auto shorter = std::find_if(path.begin(), path.end(), [&](const PathPart& part) { return part.seconds < longer; });
  if (longer > 0.0) path.insert(shorter, {"commits", longer, 1.0 / static_cast<double>(round)});
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
    LaneTime& time = prediction.lanes[lane];
    time.busy = blend(time.busy, committed.lanes[lane].busy);
    time.limit = blend(time.limit, committed.lanes[lane].limit);
  }
  for (std::size_t r = 0; r < prediction.shared.size(); ++r) prediction.shared[r] = blend(prediction.shared[r], committed.shared[r]);
  const auto blend_bytes = [&](std::uint64_t& without, std::uint64_t with) { without = static_cast<std::uint64_t>(blend(static_cast<double>(without), static_cast<double>(with))); };
  blend_bytes(prediction.ssd_read_bytes, committed.ssd_read_bytes);
  blend_bytes(prediction.ssd_write_bytes, committed.ssd_write_bytes);
}

}  // namespace

Lane Prediction::binds() const {
  const auto longest = std::max_element(lanes.begin(), lanes.end(), [](const LaneTime& a, const LaneTime& b) { return a.limit < b.limit; });
  return static_cast<Lane>(longest - lanes.begin());
}

std::string Prediction::binding() const {
  constexpr double kMore = 1.1;
  const auto most = std::max_element(shared.begin(), shared.end());
  const Lane lane = binds();
  if (*most > kMore * lanes[static_cast<std::size_t>(lane)].limit) return kResourceTitles[static_cast<std::size_t>(most - shared.begin())];
  return schedule::kLaneNames[static_cast<std::size_t>(lane)];
}

Prediction predict(const Program& program, const Machine& machine, const PredictionOptions& options) {
  if (!program.map.problem.trains()) throw std::logic_error("predict: nothing is trained");
  const std::size_t affordable = std::clamp<std::size_t>(options.tasks_walked / program.graph(Variant::train_first).tasks.size(), kShown, kMostSteadySteps);
  const auto round = static_cast<std::size_t>(std::max(1, options.commit_every));
  if (!program.map.problem.commits) return predict_steady(program, machine, options, 0, affordable);
  if (round <= affordable) return predict_steady(program, machine, options, round, affordable / round * round);
  Prediction prediction = predict_steady(program, machine, options, 0, affordable);
  PredictionOptions numbers = options;
  numbers.timeline = false;
  add_commits(prediction, predict_steady(program, machine, numbers, affordable, affordable), affordable, round);
  prediction.walks = 2;
  return prediction;
}

double terabytes_a_day(std::uint64_t bytes_a_step, double seconds_a_step) {
  constexpr double kDay = 86400.0;
  return seconds_a_step > 0.0 ? static_cast<double>(bytes_a_step) / 1e12 / seconds_a_step * kDay : 0.0;
}

}  // namespace gsnake::sim
