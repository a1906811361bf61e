#include "runtime/executor.h"

#include <algorithm>
#include <stdexcept>

#include "optim/norm.h"
#include "runtime/device_lane.h"
#include "runtime/optimizer_lane.h"
#include "runtime/ssd_lane.h"

namespace gsnake::runtime {

using schedule::Variant;

namespace {

std::size_t most_tasks(const schedule::Program& program) {
  std::size_t most = 0;
  for (const schedule::Graph& graph : program.graphs) most = std::max(most, graph.tasks.size());
  return most;
}

std::vector<std::uint64_t> norm_offsets(const schedule::Problem& problem) {
  std::vector<std::uint64_t> first{0};
  for (std::uint64_t elements : problem.elements) {
    first.push_back(first.back() + (problem.trains() ? schedule::padded_elements(elements) / optim::kNormBlock : 0));
  }
  return first;
}

constexpr std::array kInOrderLanes{Lane::compute, Lane::h2d, Lane::d2h};

}  // namespace

Executor::Executor(const schedule::Program& program, device::Device& device, store::Store& store, ComputeBackend& backend,
                   const optim::Optimizer* optimizer, ExecutorOptions options)
    : program_(program), options_(std::move(options)), memory_(program.map, device), slots_(program.map, store.layout()),
      first_norm_partial_(norm_offsets(program.map.problem)) {
  store.engine().register_buffer({memory_.host().data(), memory_.host().bytes()});
  for (auto& flight : flights_) {
    flight = std::make_unique<Flight>(most_tasks(program), program.map.buffers.size(), first_norm_partial_.back(), device);
  }
  make_lanes(device, store, backend, optimizer);
}

void Executor::make_lanes(device::Device& device, store::Store& store, ComputeBackend& backend, const optim::Optimizer* optimizer) {
  const auto rate = [&](Lane lane) { return options_.emulated_rates[static_cast<std::size_t>(lane)]; };
  const std::size_t most_ready = 2 * most_tasks(program_);
  TaskSink& sink = *this;
  for (Lane lane : kInOrderLanes) {
    lanes_[static_cast<std::size_t>(lane)] = std::make_unique<DeviceLane>(DeviceLane::Options{lane, rate(lane)}, device, memory_, backend, sink);
  }
  for (Lane lane : {Lane::ssd_read, Lane::ssd_write}) {
    lanes_[static_cast<std::size_t>(lane)] = std::make_unique<SsdLane>(SsdLane::Options{lane, rate(lane), kSsdTasksInFlight, most_ready}, program_.map, store,
                                                                       slots_, memory_, sink);
  }
  if (optimizer == nullptr) return;
  OptimizerLane::Options own{rate(Lane::optimizer), most_ready, options_.optimizer_threads, options_.decay_runs, first_norm_partial_};
  lanes_[static_cast<std::size_t>(Lane::optimizer)] = std::make_unique<OptimizerLane>(own, program_.map, *optimizer, memory_, sink);
}

Executor::~Executor() {
  for (auto& lane : lanes_) {
    if (lane) lane->stop();
  }
}

const PreparedGraph& Executor::prepared(Variant variant) {
  auto& slot = graphs_[static_cast<std::size_t>(variant)];
  if (!slot) slot = std::make_unique<PreparedGraph>(prepare(program_.graph(variant)));
  return *slot;
}

const PreparedJoin& Executor::joined(Variant previous, Variant next) {
  const auto key = std::pair(previous, next);
  auto found = joins_.find(key);
  if (found == joins_.end()) {
    const schedule::Graph& from = program_.graph(previous);
    const schedule::Graph& to = program_.graph(next);
    found = joins_.emplace(key, prepare_join(from, to, schedule::join(program_.map, from, to))).first;
  }
  return found->second;
}

Executor::Ticket Executor::start(Variant variant, StepBatch* batch, const optim::StepScalars& scalars) {
  throw_if_poisoned();
  const Ticket ticket = next_sequence_;
  Flight& next = flight(ticket);
  if (ticket >= 2) {
    wait_for(next.tasks_left);
    retire(next);
  }
  Flight* previous = ticket > 0 ? &flight(ticket - 1) : nullptr;
  const PreparedGraph& graph = prepared(variant);
  const PreparedJoin* join = previous == nullptr ? nullptr : &joined(previous->graph().variant, variant);
  if (previous != nullptr && !schedule::may_follow(previous->graph().variant, variant, program_.delayed)) {
    throw std::logic_error("executor: a graph was started that may not follow the one before");
  }
  next.sequence = next_sequence_++;
  next.batch = batch;
  next.step = batch == nullptr ? 0 : batch->step;
  next.scalars = scalars;
  next.previous_scalars = pending_scalars_;
  set_up(next, graph, join, previous);
  const bool trains = variant == Variant::train || variant == Variant::train_first;
  if (trains) pending_scalars_ = scalars;
  pending_ = trains && program_.delayed;
  flight_trace_[static_cast<std::size_t>(ticket % 2)] = trace_;
  for (auto& runner : lanes_) {
    if (runner) runner->started(next);
  }
  if (previous != nullptr) attach(*previous, next, *join);
  for (std::size_t i = 0; i < next.graph().tasks.size(); ++i) settle(next, static_cast<TaskId>(i));
  return ticket;
}

void Executor::set_up(Flight& next, const PreparedGraph& graph, const PreparedJoin* join, const Flight* previous) {
  next.prepared = &graph;
  next.next = nullptr;
  next.join_out = nullptr;
  const std::size_t tasks = graph.graph->tasks.size();
  for (std::size_t i = 0; i < tasks; ++i) {
    // One more until all is set up.
    next.waiting[i].store(1 + graph.graph->predecessors[i] + (join == nullptr ? 0 : join->predecessors[i]), std::memory_order_relaxed);
    next.join_state[i].store(kOpen, std::memory_order_relaxed);
  }
  next.results_left.store(graph.results, std::memory_order_relaxed);
  next.tasks_left.store(static_cast<std::int32_t>(tasks + kInOrderLanes.size()), std::memory_order_release);
  const schedule::Map& map = program_.map;
  for (std::size_t b = 0; b < map.buffers.size(); ++b) {
    const int pool = map.buffers[b].pool;
    next.physical[b] = static_cast<std::int32_t>(b);
    if (previous == nullptr || pool < 0) continue;
    const auto first = static_cast<std::size_t>(map.pools[static_cast<std::size_t>(pool)].first_buffer);
    next.physical[b] = previous->physical[first + static_cast<std::size_t>(previous->graph().end_order[static_cast<std::size_t>(pool)][b - first])];
  }
}

void Executor::attach(Flight& previous, Flight& next, const PreparedJoin& join) {
  previous.next = &next;
  previous.join_out = &join;
  for (std::size_t i = 0; i < previous.graph().tasks.size(); ++i) {
    const auto successors = join.successors_of(static_cast<TaskId>(i));
    if (successors.empty()) continue;
    if (previous.join_state[i].exchange(kJoined, std::memory_order_acq_rel) != kTaskDone) continue;
    for (TaskId successor : successors) settle(next, successor);
  }
}

void Executor::settle(Flight& flight, TaskId task) {
  if (flight.waiting[static_cast<std::size_t>(task)].fetch_sub(1, std::memory_order_acq_rel) == 1) lane(flight.task(task).lane).ready(flight, task);
}

void Executor::submitted(Flight& flight, TaskId task) {
  for (TaskId successor : flight.graph().successors_of(task)) {
    if (is_device_lane(flight.task(successor).lane)) settle(flight, successor);
  }
}

void Executor::completed(Flight& flight, TaskId task) {
  const auto i = static_cast<std::size_t>(task);
  const bool on_device = is_device_lane(flight.task(task).lane);
  for (TaskId successor : flight.graph().successors_of(task)) {
    if (!on_device || !is_device_lane(flight.task(successor).lane)) settle(flight, successor);
  }
  if (flight.join_state[i].exchange(kTaskDone, std::memory_order_acq_rel) == kJoined) {
    for (TaskId successor : flight.join_out->successors_of(task)) settle(*flight.next, successor);
  }
  if (gives_result(flight.task(task))) left(flight, flight.results_left);
  left(flight, flight.tasks_left);
}

void Executor::passed(Flight& flight) { left(flight, flight.tasks_left); }

void Executor::left(Flight&, std::atomic<std::int32_t>& counter) {
  if (counter.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const std::lock_guard lock(progress_mutex_);
  progress_.notify_all();
}

void Executor::fail(std::exception_ptr error) noexcept {
  const std::lock_guard lock(progress_mutex_);
  if (!error_) error_ = std::move(error);
  poisoned_.store(true, std::memory_order_release);
  progress_.notify_all();
}

void Executor::throw_if_poisoned() {
  if (!poisoned()) return;
  const std::lock_guard lock(progress_mutex_);
  std::rethrow_exception(error_);
}

void Executor::wait_for(const std::atomic<std::int32_t>& counter) {
  std::unique_lock lock(progress_mutex_);
  progress_.wait(lock, [&] { return poisoned() || counter.load(std::memory_order_acquire) == 0; });
  lock.unlock();
  throw_if_poisoned();
}

void Executor::retire(Flight& flight) {
  Trace*& trace = flight_trace_[static_cast<std::size_t>(flight.sequence % 2)];
  if (trace != nullptr) trace->add(flight);
  trace = nullptr;
}

Executor::Ticket Executor::train(StepBatch& batch, const optim::StepScalars& scalars) {
  return start(pending_ ? Variant::train : Variant::train_first, &batch, scalars);
}

Executor::Ticket Executor::validate(StepBatch& batch) { return start(pending_ ? Variant::validate_pending : Variant::validate, &batch); }

Executor::Ticket Executor::finish() { return start(pending_ ? Variant::finish_pending : Variant::finish, nullptr); }

void Executor::wait_results(Ticket ticket) {
  if (flight(ticket).sequence == ticket) wait_for(flight(ticket).results_left);
}

double Executor::gradient_norm(Ticket ticket) const { return optim::total_norm(flights_[ticket % 2]->norm_partials); }

void Executor::wait_end(Ticket ticket) {
  if (flight(ticket).sequence != ticket) return;
  wait_for(flight(ticket).tasks_left);
  retire(flight(ticket));
}

LaneTotals Executor::totals() const {
  LaneTotals totals;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i]) continue;
    totals.busy_ms[i] = static_cast<double>(lanes_[i]->clock().busy_ns()) / 1e6;
    totals.bytes[i] = lanes_[i]->clock().bytes();
  }
  return totals;
}

}  // namespace gsnake::runtime
