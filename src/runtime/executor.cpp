#include "runtime/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "greedysnake/error.h"
#include "schedule/task_name.h"

namespace gsnake::runtime {

using schedule::Variant;

// Each step is committed once, by whichever graph completes its update.
schedule::Conditions Executor::conditions_of(Variant variant, bool commits) {
  const bool trains = variant == Variant::train || variant == Variant::train_first;
  const bool finishes = variant == Variant::finish || variant == Variant::finish_pending;
  if (options_.committer == nullptr) return {false, false, false, {}};
  schedule::Conditions conditions{trains && commits, !last_handed_ && (last_commits_ || finishes), finishes && !last_handed_ && !last_commits_, {}};
  if (conditions.commits_previous) last_handed_ = true;
  if (!trains) return conditions;
  last_commits_ = commits;
  last_handed_ = commits && !program_.delayed;
  return conditions;
}

Executor::Ticket Executor::start(Variant variant, StepBatch* batch, bool commits) {
  throw_if_failed();
  const schedule::Problem& problem = program_.map.problem;
  const std::uint64_t most_ids = problem.ids_bytes * static_cast<std::uint64_t>(problem.micro_batches);
  if (batch != nullptr && std::max(batch->inputs.size_bytes(), batch->labels.size_bytes()) > most_ids) throw std::logic_error("executor: a batch has more ids than were planned");
  const Ticket ticket = next_sequence_;
  Flight& next = flight(ticket);
  if (ticket >= 2) {
    awaited_.store(&next, std::memory_order_release);
    wait_until([&] { return next.ended(); });
    retire(next);
  }
  Flight* previous = ticket > 0 ? &flight(ticket - 1) : nullptr;
  const PreparedGraph& graph = graphs_[static_cast<std::size_t>(variant)].value();
  const PreparedJoin* join = nullptr;
  if (previous != nullptr) {
    const auto& prepared = joins_[static_cast<std::size_t>(previous->graph().variant)][static_cast<std::size_t>(variant)];
    if (!prepared) throw std::logic_error("executor: a graph was started that may not follow the one before");
    join = &*prepared;
  }
  const bool trains = variant == Variant::train || variant == Variant::train_first;
  next.sequence = next_sequence_++;
  next.batch = batch;
  next.step = batch == nullptr ? 0 : batch->step;
  next.previous = last_;
  next.before = &outcome_of(last_.number);
  next.conditions = conditions_of(variant, commits);
  next.own = {};
  next.outcome = nullptr;
  if (trains) begin_step(next, commits);
  pending_ = trains && program_.delayed;
  set_up(next, graph, join, previous);
  if (batch != nullptr) put_batch(next);
  flight_trace_[static_cast<std::size_t>(ticket % 2)] = trace_;
  for (auto& runner : lanes_) {
    if (runner) runner->started(next);
  }
  if (previous != nullptr) attach(*previous, next, *join);
  for (std::size_t i = 0; i < next.graph().tasks.size(); ++i) settle(next, static_cast<TaskId>(i));
  return ticket;
}

void Executor::begin_step(Flight& next, bool commits) {
  const StepCounters before = next.previous.number < 0 ? options_.counters : outcome_of(next.previous.number).before;
  last_ = {last_.number + 1, next.batch->step};
  next.own = last_;
  StepOutcome& outcome = outcome_of(last_.number);
  next.outcome = &outcome;
  outcome.before = before;
  if (next.previous.number >= 0) ++outcome.before.updates;  // as nothing is skipped where this counts
  outcome.commits = commits && options_.committer != nullptr;
  outcome.what = {};
  outcome.verdict = {};
  outcome.bad_gradient = -1;
  outcome.early_bad_weight.store(-1, std::memory_order_relaxed);
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
  next.has_results.store(next.batch == nullptr, std::memory_order_relaxed);
  const std::int32_t to_do = static_cast<std::int32_t>(tasks) + in_order_lanes_;
  next.tasks_all.store(to_do, std::memory_order_relaxed);
  next.tasks_left.store(to_do, std::memory_order_release);
  const schedule::Map& map = program_.map;
  for (std::size_t b = 0; b < map.buffers.size(); ++b) {
    const int pool = map.buffers[b].pool;
    next.physical[b] = static_cast<std::int32_t>(b);
    if (previous == nullptr || pool < 0) continue;
    const auto first = static_cast<std::size_t>(map.pools[static_cast<std::size_t>(pool)].first_buffer);
    next.physical[b] = previous->physical[first + static_cast<std::size_t>(previous->graph().end_order[static_cast<std::size_t>(pool)][b - first])];
  }
}

// Into a slot that the graph in flight does not look at.
void Executor::put_batch(const Flight& flight) {
  const schedule::Map& map = program_.map;
  const device::HostPtr slot = memory_.host(flight.physical[static_cast<std::size_t>(map.batch_slot())]);
  const auto put = [&](schedule::BatchPart part, std::span<const std::int64_t> ids) {
    std::copy(ids.begin(), ids.end(), (slot + map.batch_offset(part, 0)).as<std::int64_t>());
  };
  put(schedule::BatchPart::ids, flight.batch->inputs);
  put(schedule::BatchPart::labels, flight.batch->labels);
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
  if (flight.waiting[static_cast<std::size_t>(task)].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Lanes that run in order pass tasks over themselves.
  if (is_device_lane(flight.task(task).lane) || flight.carries_out(task)) {
    lane(flight.task(task).lane).ready(flight, task);
  } else {
    pass_over(flight, task);
  }
}

namespace {

// Tasks that this thread has yet to pass over: a list through the flights, since a chain of them may be longer than a stack is deep.
struct PassedOver {
  Link first;
  bool at_work = false;
};
thread_local PassedOver passed_over;

}  // namespace

void Executor::pass_over(Flight& flight, TaskId task) {
  flight.links[static_cast<std::size_t>(task)] = passed_over.first;
  passed_over.first = {&flight, task};
  if (passed_over.at_work) return;
  passed_over.at_work = true;
  while (passed_over.first.flight != nullptr) {
    const Link link = passed_over.first;
    passed_over.first = link.flight->links[static_cast<std::size_t>(link.task)];
    pass_over_one(*link.flight, link.task);
  }
  passed_over.at_work = false;
}

void Executor::pass_over_one(Flight& flight, TaskId id) {
  const schedule::Task& task = flight.task(id);
  if (task.when == schedule::When::revised && task.op == schedule::Op::write && flight.before->what.skipped) {
    slots_.undo(flight.graph().find(task, schedule::Role::destination)->resource - static_cast<int>(program_.map.buffers.size()));
  }
  completed(flight, id);
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
  if (flight.task(task).op == schedule::Op::conclude) {
    flight.has_results.store(true, std::memory_order_release);
    notify();
  }
  left(flight);
}

void Executor::passed(Flight& flight) { left(flight); }

// A step that went wrong is not committed: the run ends, and the commit before counts.
void Executor::commit(Flight& flight, TaskId task) {
  const bool own = flight.task(task).step_offset == 0;
  const std::int64_t step = own ? flight.own.step : flight.previous.step;
  StepOutcome& outcome = own ? *flight.outcome : *flight.before;
  // What one rank alone has found, the others do not know of: they would wait for its commit.
  if (options_.agreement != nullptr && bad_weight() >= 0) throw Error(ErrorKind::non_finite, "a new weight of object " + std::to_string(bad_weight()) + " is not finite, or too large for train.dtype; lower optimizer.learning_rate");
  const bool sound = (outcome.verdict.finite || options_.policy.skips) && bad_weight() < 0;
  outcome.commits = sound && options_.committer->may_commit(step);
  if (!outcome.commits) return;
  const int slot = outcome.what.unsaved ? 1 - slots_.committed_slot() : slots_.committed_slot();
  options_.committer->commit(step, outcome.verdict.after, slot);
  slots_.committed(slot);
}

void Executor::left(Flight& flight) {
  if (flight.tasks_left.fetch_sub(1, std::memory_order_acq_rel) == 1) notify();
}

void Executor::notify() {
  const std::lock_guard lock(progress_mutex_);
  progress_.notify_all();
}

void Executor::fail(std::exception_ptr error) noexcept {
  {
    const std::lock_guard lock(progress_mutex_);
    if (!error_) error_ = std::move(error);
    poisoned_.store(true, std::memory_order_release);
    progress_.notify_all();
  }
  // The other ranks would wait for this one.
  if (options_.collective != nullptr) options_.collective->abort();
  if (options_.agreement != nullptr) options_.agreement->abort();
}

void Executor::throw_if_failed() {
  if (!poisoned()) return;
  const std::lock_guard lock(progress_mutex_);
  std::rethrow_exception(error_);
}

template <typename Condition>
void Executor::wait_until(const Condition& condition) {
  std::unique_lock lock(progress_mutex_);
  progress_.wait(lock, [&] { return poisoned() || stopping_ || condition(); });
  const bool met = condition();
  lock.unlock();
  throw_if_failed();
  if (!met) throw std::logic_error("executor: it ends while something waits for it");
}

void Executor::retire(Flight& flight) {
  Trace*& trace = flight_trace_[static_cast<std::size_t>(flight.sequence % 2)];
  if (trace != nullptr) trace->add(flight);
  trace = nullptr;
}

Executor::Ticket Executor::load() { return start(Variant::load, nullptr); }

Executor::Ticket Executor::train(StepBatch& batch, bool commits) {
  if (!commits && program_.map.problem.guard == schedule::Guard::speculative) throw std::logic_error("executor: a step that may be done over from the last commit follows one that is not committed");
  return start(pending_ ? Variant::train : Variant::train_first, &batch, commits);
}

Executor::Ticket Executor::validate(StepBatch& batch) { return start(pending_ ? Variant::validate_pending : Variant::validate, &batch); }

Executor::Ticket Executor::finish() { return start(pending_ ? Variant::finish_pending : Variant::finish, nullptr); }

void Executor::wait_results(Ticket ticket) {
  const Flight& awaited = flight(ticket);
  awaited_.store(&awaited, std::memory_order_release);
  if (awaited.sequence == ticket) wait_until([&] { return awaited.has_results.load(std::memory_order_acquire); });
}

schedule::Conditions Executor::conditions(Ticket ticket) const {
  const Flight& flight = *flights_[ticket % 2];
  schedule::Conditions conditions = flight.conditions;
  conditions.previous = flight.before->what;
  return conditions;
}

void Executor::committed(int slot) {
  slots_.committed(slot);
  outcome_of(last_.number).commits = true;
}

int Executor::bad_weight() const {
  for (const StepOutcome& outcome : outcomes_) {
    const int object = outcome.bad_weight.load(std::memory_order_acquire);
    if (object >= 0) return object;
  }
  return -1;
}

void Executor::wait_end(Ticket ticket) {
  Flight& awaited = flight(ticket);
  if (awaited.sequence != ticket) return;
  awaited_.store(&awaited, std::memory_order_release);
  wait_until([&] { return awaited.ended(); });
  retire(awaited);
}

std::optional<InHand> Executor::oldest_in_hand() const {
  std::optional<InHand> oldest;
  for (const auto& lane : lanes_) {
    const std::optional<InHand> candidate = lane ? lane->oldest() : std::nullopt;
    if (candidate && (!oldest || candidate->begin_ns < oldest->begin_ns)) oldest = candidate;
  }
  return oldest;
}

AwaitedWork Executor::awaited() const {
  AwaitedWork work;
  if (const Flight* flight = awaited_.load(std::memory_order_acquire)) {
    work.tasks = flight->tasks_all.load(std::memory_order_relaxed);
    work.tasks_done = std::max<std::int64_t>(0, work.tasks - flight->tasks_left.load(std::memory_order_relaxed));
  }
  if (const std::optional<InHand> oldest = oldest_in_hand()) {
    work.in_hand_seconds = static_cast<double>(now_ns() - oldest->begin_ns) / 1e9;
    work.longest_seconds = static_cast<double>(lanes_[static_cast<std::size_t>(oldest->task->lane)]->clock().longest_ns()) / 1e9;
  }
  return work;
}

std::string Executor::slowest() const {
  const std::optional<InHand> oldest = oldest_in_hand();
  if (!oldest) return {};
  return fmt::format("{}: {} of step {}{}{}, for {:.1f} s", schedule::kLaneNames[static_cast<std::size_t>(oldest->task->lane)], schedule::name_of(*oldest->task),
                     oldest->step, oldest->where.empty() ? "" : " in ", oldest->where, static_cast<double>(now_ns() - oldest->begin_ns) / 1e9);
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
