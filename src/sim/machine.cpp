#include "sim/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "greedysnake/error.h"
#include "schedule/footprint.h"

namespace gsnake::sim {
namespace {

using schedule::Op;
using schedule::Task;

constexpr std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
constexpr std::size_t index(Resource resource) { return static_cast<std::size_t>(resource); }

// Where the fewest and the most that a lane has in flight are the ends of the curve.
double first_of(const RateCurve& curve) { return curve.empty() ? 0.0 : rate_at(curve, 1.0); }
double last_of(const RateCurve& curve) { return curve.empty() ? 0.0 : rate_at(curve, static_cast<double>(schedule::kSsdTasksInFlight)); }

void set_copies(Machine& machine, Lane lane, const CopyProfile& copies) {
  LaneModel& model = machine.lanes[index(lane)];
  model.latency = copies.latency;
  model.uses[index(Resource::cores)] = copies.share.cores;
  model.uses[index(Resource::dram)] = copies.share.dram * copies.per_second;
  machine.rates[index(lane)] = copies.per_second;
}

// One transfer moves as it does alone in flight; with others, all together as the curve says.
void set_transfers(Machine& machine, Lane lane, const MachineProfile& profile, const RateCurve& curve, double both) {
  LaneModel& model = machine.lanes[index(lane)];
  const double alone = first_of(curve);
  const double most = last_of(curve);
  model.latency = profile.ssd_latency;
  model.at_once = static_cast<int>(schedule::kSsdTasksInFlight);
  machine.rates[index(lane)] = alone;
  if (most <= 0.0) return;
  const bool reads = lane == Lane::ssd_read;
  model.uses[index(reads ? Resource::ssd_read : Resource::ssd_write)] = alone;
  model.uses[index(Resource::drives)] = alone / most;
  model.uses[index(Resource::cores)] = profile.ssd_share.cores * alone / most;
  model.uses[index(Resource::dram)] = profile.ssd_share.dram * alone;
  machine.capacity[index(reads ? Resource::ssd_read : Resource::ssd_write)] = most;
  machine.capacity[index(Resource::drives)] = both;
  (reads ? machine.read_curve : machine.write_curve) = curve;
}

// An all-gather sends a rank's part to all others, a reduce-scatter to each its part of the whole.
void set_link(Machine& machine, const MachineProfile& profile, int ranks) {
  if (ranks == 1) return;
  const LinkProfile& link = profile.link;
  if (link.per_second <= 0.0) {
    throw Error(ErrorKind::usage, fmt::format("the machine profile \"{}\" has no link.per_second, by which {} ranks are predicted; add it, or train with several ranks, which measures it (docs/planner.md)",
                                              profile.name, ranks));
  }
  LaneModel& model = machine.lanes[index(Lane::collective)];
  machine.rates[index(Lane::collective)] = link.per_second;
  machine.sent = (ranks - 1.0) / ranks;
  machine.adds = link.adds;
  model.latency = link.latency;
  model.uses[index(Resource::cores)] = link.share.cores;
  model.uses[index(Resource::dram)] = link.share.dram * link.per_second;
  if (link.bus <= 0.0) return;
  for (const auto& [bus, copies] : {std::pair(Resource::bus_in, Lane::h2d), std::pair(Resource::bus_out, Lane::d2h)}) {
    const double rate = machine.rates[index(copies)];
    machine.capacity[index(bus)] = rate;
    machine.lanes[index(copies)].uses[index(bus)] = rate;
    model.uses[index(bus)] = link.bus * link.per_second;
  }
}

// How often a task has a thread woken: the lane's, once what it waits for is over; a read's once more, when its bytes have arrived, to check them.
double hand_overs(Lane lane, const Workload& workload) { return lane == Lane::ssd_read && workload.checked ? 2.0 : 1.0; }

// Of updates on the device, where the profile does not say: those of one of the optimizer's threads on the CPU device; of another's memory, as fast as it may be.
double device_update_rate(const MachineProfile& profile, double of_thread) {
  const ComputeProfile& compute = profile.compute;
  if (compute.updates > 0.0) return compute.updates;
  if (compute.device.empty() || compute.device == "cpu") return of_thread;
  return compute.unified && profile.cpu.dram > 0.0 ? std::min(profile.cpu.dram, kUsualDeviceUpdates) : kUsualDeviceUpdates;
}

double update_rate(const OptimizerProfile& optimizer, const std::string& dtype) {
  const auto rate = std::find_if(optimizer.rates.begin(), optimizer.rates.end(), [&](const OptimizerRate& one) { return one.dtype == dtype; });
  return rate == optimizer.rates.end() ? 0.0 : rate->per_second;
}

}  // namespace

double Machine::seconds(const Task& task) const {
  if (task.lane == Lane::commit) return commit_seconds;
  const double rate = rates[index(task.lane)];
  if (task.lane != Lane::compute) {
    const double moved = static_cast<double>(task.bytes) * (task.lane == Lane::collective ? sent : 1.0);
    const double added = task.op == Op::reduce_scatter && adds > 0.0 ? static_cast<double>(task.bytes) / adds : 0.0;
    return lane(task.lane).overhead + (rate > 0.0 ? moved / rate : 0.0) + added;
  }
  if (task.op == Op::update || task.op == Op::norm) return updates > 0.0 ? static_cast<double>(task.bytes) / updates : 0.0;
  if (static_cast<std::size_t>(task.unit) < units.size()) {
    const UnitSeconds& unit = units[static_cast<std::size_t>(task.unit)];
    double known = task.op == Op::forward || task.op == Op::head_forward ? unit.forward : unit.backward;
    if (task.kept && task.op == Op::backward) known = std::max(known - unit.forward, unit.forward);  // what is measured has a recomputation in it
    if (known > 0.0) return known + (task.opens ? unit.opening : 0.0);
  }
  const double first = task.opens && static_cast<std::size_t>(task.unit) < opening.size() ? opening[static_cast<std::size_t>(task.unit)] : 0.0;
  return first + (rate > 0.0 ? task.flops / rate : 0.0);
}

double Machine::capacity_of(Resource resource, int in_flight) const {
  const double most = capacity[index(resource)];
  if (resource == Resource::ssd_read && !read_curve.empty()) return std::min(most, rate_at(read_curve, in_flight));
  if (resource == Resource::ssd_write && !write_curve.empty()) return std::min(most, rate_at(write_curve, in_flight));
  return most;
}

// As many in flight as the executor has: they move together no faster than one.
Machine machine_of(const std::array<double, kLaneCount>& rates) {
  Machine machine;
  machine.rates = rates;
  for (const auto& [lane, resource] : {std::pair(Lane::ssd_read, Resource::ssd_read), std::pair(Lane::ssd_write, Resource::ssd_write)}) {
    machine.lanes[index(lane)].at_once = static_cast<int>(schedule::kSsdTasksInFlight);
    machine.lanes[index(lane)].uses[index(resource)] = rates[index(lane)];
    machine.capacity[index(resource)] = rates[index(lane)];
  }
  return machine;
}

Machine machine_of(const MachineProfile& whole, const Workload& workload) {
  const MachineProfile profile = share_of(whole, workload.local_ranks, workload.own_drives);
  Machine machine;
  machine.capacity[index(Resource::cores)] = profile.cpu.cores;
  machine.capacity[index(Resource::dram)] = profile.cpu.dram;
  set_copies(machine, Lane::h2d, profile.h2d);
  set_copies(machine, Lane::d2h, profile.d2h);
  set_link(machine, profile, workload.ranks);
  const SsdProfile drives = profile.drives();
  set_transfers(machine, Lane::ssd_read, profile, drives.read, drives.both);
  set_transfers(machine, Lane::ssd_write, profile, drives.write, drives.both);

  LaneModel& updates = machine.lanes[index(Lane::optimizer)];
  const double update = update_rate(profile.optimizer, workload.weights);
  if (update <= 0.0 && !profile.optimizer.rates.empty()) {
    throw Error(ErrorKind::usage, fmt::format("the machine profile \"{}\" has no optimizer.rates for {} weights; add one, or measure it with `gsnake plan`",
                                              profile.name, workload.weights));
  }
  updates.latency = profile.optimizer.latency;
  updates.at_once = std::max(1, profile.optimizer.threads);
  updates.uses[index(Resource::cores)] = profile.optimizer.share.cores;
  updates.uses[index(Resource::dram)] = profile.optimizer.share.dram * update;
  machine.rates[index(Lane::optimizer)] = update;

  LaneModel& compute = machine.lanes[index(Lane::compute)];
  compute.latency = profile.compute.latency;
  compute.uses[index(Resource::cores)] = profile.compute.share.cores;
  compute.uses[index(Resource::dram)] = profile.compute.share.dram;
  machine.rates[index(Lane::compute)] = profile.flops_per_second(workload.computes_in, workload.tokens);
  machine.updates = device_update_rate(profile, update);
  bool all_known = !workload.unit_keys.empty();
  for (const std::string& key : workload.unit_keys) {
    const UnitSeconds* found = profile.find_unit(key);
    machine.units.push_back(found == nullptr ? UnitSeconds() : *found);
    all_known = all_known && found != nullptr;
  }
  if (!all_known && machine.rates[index(Lane::compute)] <= 0.0) {
    throw Error(ErrorKind::usage, fmt::format("the machine profile \"{}\" says nothing of how fast {} is computed; add it to compute.rates, or measure this model with "
                                              "`gsnake plan`",
                                              profile.name, workload.computes_in));
  }
  if (profile.compute.dequantise > 0.0) {
    for (const double elements : workload.packed_elements) machine.opening.push_back(elements / profile.compute.dequantise);
  }
  // Where a task uses a part of a core, what it takes of one takes that much longer.
  for (const Lane lane : {Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer, Lane::collective}) {
    LaneModel& model = machine.lanes[index(lane)];
    const double cores = model.uses[index(Resource::cores)];
    if (cores > 0.0) model.overhead = hand_overs(lane, workload) * profile.cpu.hand_over / std::min(1.0, cores);
  }
  machine.commit_seconds = profile.commit_latency;
  machine.commit_waits = profile.commit_waits;
  machine.crowding = profile.cpu.crowding;
  machine.favour = profile.cpu.favour;
  machine.rest = profile.compute.rest;
  for (std::size_t lane = 0; lane < machine.lanes.size(); ++lane) machine.lanes[lane].emulated = workload.emulated[lane];
  return machine;
}

}  // namespace gsnake::sim
