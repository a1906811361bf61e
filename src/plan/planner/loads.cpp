// Seconds of each lane and resource from bytes.
#include <algorithm>

#include "plan/planner/placement.h"
#include "schedule/footprint.h"

namespace gsnake::plan {
namespace {

using schedule::Lane;
using schedule::Problem;

constexpr std::array kMovers{Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer};
constexpr std::size_t at(Lane lane) { return static_cast<std::size_t>(lane); }

// Of a lane's usual task. Few objects are so small that it matters for them.
double task_bytes(const Problem& problem, Lane lane) {
  std::uint64_t cells = 0;
  double width = schedule::kGradientBytes;
  double state = 0.0;
  for (const schedule::Object& object : problem.objects) {
    cells = std::max(cells, object.range().cells);
    double sum = 0.0;
    for (const std::uint64_t bytes : object.state_bytes) sum += static_cast<double>(bytes);
    state = std::max(state, sum);
    if (lane == Lane::h2d && object.trained) width = static_cast<double>(object.weight_bytes);
  }
  const auto chunk = static_cast<double>(std::min(cells, problem.chunk_elements));
  return chunk * (lane == Lane::optimizer ? 2.0 * (width + state) + schedule::kGradientBytes : width);
}

// By phase: seconds of compute tasks, FLOP, and how many there are.
struct Compute {
  std::array<Form, kPhases> seconds{};
  std::array<Form, kPhases> flops{};
  std::array<double, kPhases> tasks{};
};

Compute compute_of(const Problem& problem, const sim::Machine& machine) {
  Compute compute;
  const bool horizontal = problem.schedule == schedule::ScheduleKind::horizontal;
  const double rounds = horizontal ? problem.micro_batches : 1.0;
  const double each = problem.micro_batches / rounds;  // micro-batches a phase
  const int first_backward = schedule::first_trained_unit(problem);
  const auto add = [&](Phase phase, const schedule::Task& task, const Form& part, double tasks) {
    const double seconds = machine.seconds(task);
    for (const auto& [in, times] : {std::pair(phase, each), std::pair(Phase::middle, (rounds - 1.0) * each)}) {
      compute.seconds[static_cast<std::size_t>(in)] += seconds * times * part;
      compute.flops[static_cast<std::size_t>(in)] += task.flops * times * part;
      compute.tasks[static_cast<std::size_t>(in)] += tasks * times;
    }
  };
  const auto task_of = [&](schedule::Op op, int unit, double times_forward) {
    schedule::Task task{.op = op, .lane = Lane::compute, .unit = unit};
    task.flops = problem.units[static_cast<std::size_t>(unit)].forward_flops * times_forward;
    return task;
  };
  const int head = problem.unit_count() - 1;
  const Form all(1.0);
  for (int unit = 0; unit < head; ++unit) {
    const schedule::Unit& of = problem.units[static_cast<std::size_t>(unit)];
    add(Phase::forward, task_of(schedule::Op::forward, unit, 1.0), all, 1.0);
    if (unit < first_backward) continue;
    const Form kept = unit > 0 ? Form::of(Term::kept_device) : Form();
    add(Phase::backward, task_of(schedule::Op::backward, unit, of.forwards_of_backward()), all - kept, 1.0);
    schedule::Task without = task_of(schedule::Op::backward, unit, of.forwards_of_kept_backward());
    without.kept = true;
    add(Phase::backward, without, kept, 0.0);
  }
  add(Phase::backward, task_of(schedule::Op::head, head, problem.units.back().forwards_of_backward()), all, 1.0);
  return compute;
}

// By phase: the seconds of collectives by themselves, and how many there are.
struct Collectives {
  std::array<double, kPhases> seconds{};
  std::array<double, kPhases> tasks{};
};

Collectives collectives_of(const Problem& problem, const sim::Machine& machine) {
  Collectives collectives;
  const auto work = collective_work(problem);
  for (std::size_t phase = 0; phase < kPhases; ++phase) {
    const auto add = [&](schedule::Op op, double tasks, double bytes) {
      if (tasks <= 0.0) return;
      schedule::Task task{.op = op, .lane = Lane::collective};
      task.bytes = static_cast<std::uint64_t>(bytes / tasks);
      collectives.seconds[phase] += tasks * machine.seconds(task);
      collectives.tasks[phase] += tasks;
    };
    add(schedule::Op::all_gather, work[phase].gathers, work[phase].gathered);
    add(schedule::Op::reduce_scatter, work[phase].sums, work[phase].summed);
  }
  return collectives;
}

class Loads {
 public:
  Loads(const Problem& problem, const sim::Machine& machine, double commit_every)
      : problem_(problem), machine_(machine), bytes_(traffic_forms(problem, commit_every)), compute_(compute_of(problem, machine)), collectives_(collectives_of(problem, machine)) {}

  PhaseLoads run() {
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      loads_.written += bytes_[phase][at(Lane::ssd_write)];
      for (const Lane lane : kMovers) add_mover(phase, lane);
      add_compute(phase);
      if (problem_.ranks > 1) add_collectives(phase);
      for (std::size_t r = 0; r < static_cast<std::size_t>(sim::kResources); ++r) add_resource(phase, r);
    }
    return std::move(loads_);
  }

 private:
  // Seconds that the tasks of a lane take one after another at full speed.
  [[nodiscard]] Form alone(std::size_t phase, Lane lane) const {
    if (lane == Lane::compute) return compute_.seconds[phase] + (machine_.updates > 0.0 ? 1.0 / machine_.updates * bytes_[phase][at(lane)] : Form());
    if (lane == Lane::collective) return Form(collectives_.seconds[phase]);
    const double rate = machine_.rates[at(lane)];
    return rate > 0.0 ? 1.0 / rate * bytes_[phase][at(lane)] : Form();
  }

  void add(std::size_t phase, const Form& load) { loads_.of[phase].push_back(load); }

  void add_mover(std::size_t phase, Lane lane) {
    const sim::LaneModel& model = machine_.lane(lane);
    const Form latency = model.latency / task_bytes(problem_, lane) * bytes_[phase][at(lane)];
    add(phase, 1.0 / model.at_once * (alone(phase, lane) + latency));
    if (model.emulated > 0.0) add(phase, 1.0 / model.emulated * bytes_[phase][at(lane)]);
  }

  void add_compute(std::size_t phase) {
    const sim::LaneModel& model = machine_.lane(Lane::compute);
    add(phase, alone(phase, Lane::compute) + Form(model.latency * compute_.tasks[phase]));
    if (model.emulated > 0.0) add(phase, 1.0 / model.emulated * compute_.flops[phase]);
  }

  void add_collectives(std::size_t phase) {
    const sim::LaneModel& model = machine_.lane(Lane::collective);
    add(phase, Form(collectives_.seconds[phase] + model.latency * collectives_.tasks[phase]));
    if (model.emulated > 0.0) add(phase, 1.0 / model.emulated * bytes_[phase][at(Lane::collective)]);
  }

  void add_resource(std::size_t phase, std::size_t r) {
    const double capacity = machine_.capacity_of(static_cast<sim::Resource>(r), static_cast<int>(schedule::kSsdTasksInFlight));
    if (capacity <= 0.0) return;
    Form used;
    for (const Lane lane : {Lane::compute, Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer, Lane::collective}) {
      used += machine_.lane(lane).uses[r] / capacity * alone(phase, lane);
    }
    add(phase, used);
  }

  const Problem& problem_;
  const sim::Machine& machine_;
  const StepForms bytes_;
  const Compute compute_;
  const Collectives collectives_;
  PhaseLoads loads_;
};

}  // namespace

double PhaseLoads::floor(const Point& point) const {
  const auto terms = terms_of(point);
  double longest = 0.0;
  for (std::size_t load = 0; load < of[0].size(); ++load) {
    double sum = 0.0;
    for (const auto& phase : of) sum += phase[load].at(terms);
    longest = std::max(longest, sum);
  }
  return longest;
}

double PhaseLoads::seconds(const Point& point) const {
  const auto terms = terms_of(point);
  double sum = 0.0;
  for (const auto& phase : of) {
    double longest = 0.0;
    for (const Form& load : phase) longest = std::max(longest, load.at(terms));
    sum += longest;
  }
  return sum;
}

PhaseLoads phase_loads(const Problem& problem, const sim::Machine& machine, double commit_every) {
  return Loads(problem, machine, commit_every).run();
}

}  // namespace gsnake::plan
