#include "runtime/optimizer_lane.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/threads.h"
#include "optim/norm.h"

namespace gsnake::runtime {

OptimizerLane::OptimizerLane(Options options, const schedule::Map& map, const MemoryImage& memory, TaskSink& sink)
    : options_(std::move(options)), map_(map), memory_(memory), places_(memory), sink_(sink), throttle_(options_.emulated_rate),
      queue_(options_.most_ready), in_hand_(options_.threads) {
  if (options_.agreement != nullptr) {
    const std::size_t results = static_cast<std::size_t>(map.problem.micro_batches) * map.problem.result_bytes / sizeof(double);
    const auto ranks = static_cast<std::size_t>(options_.agreement->ranks());
    said_.resize(results + 2);
    heard_.resize(ranks * said_.size());
    results_.resize(ranks * results);
  }
  try {
    for (unsigned i = 0; i < options_.threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

void OptimizerLane::ready(Flight& flight, TaskId task) {
  const std::lock_guard lock(mutex_);
  queue_.push(flight, task);
  changed_.notify_one();
}

void OptimizerLane::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::optional<InHand> OptimizerLane::oldest() {
  const std::lock_guard lock(mutex_);
  std::optional<InHand> oldest;
  for (const auto& one : in_hand_) {
    if (one && (!oldest || one->begin_ns < oldest->begin_ns)) oldest = one;
  }
  return oldest;
}

void OptimizerLane::work(unsigned index) {
  core::set_thread_name("gs-optim-" + std::to_string(index));
  core::block_signals();
  if (index < options_.cpus.size()) core::keep_to(options_.cpus[index]);
  try {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_ || sink_.poisoned()) return;
      const ReadyQueue::Entry entry = queue_.pop();
      const std::int64_t begin = now_ns();
      const std::int64_t due = throttle_.occupy(begin, static_cast<double>(entry.flight->task(entry.task).bytes));
      in_hand_[index] = InHand{entry.flight->step, &entry.flight->task(entry.task), begin};
      lock.unlock();
      clock_.enter(begin);
      entry.flight->times[static_cast<std::size_t>(entry.task)].begin_ns = begin;
      run(*entry.flight, entry.task);
      std::this_thread::sleep_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(due)));
      const std::int64_t end = now_ns();
      entry.flight->times[static_cast<std::size_t>(entry.task)].end_ns = end;
      clock_.leave(begin, end, entry.flight->task(entry.task).bytes);
      sink_.completed(*entry.flight, entry.task);
      lock.lock();
      in_hand_[index].reset();
    }
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

void OptimizerLane::run(Flight& flight, TaskId id) {
  const schedule::Task& task = flight.task(id);
  switch (task.op) {
    case schedule::Op::conclude:
      return conclude(flight, task);
    case schedule::Op::norm:
      return norm(flight, task);
    case schedule::Op::update:
      return update(flight, task);
    case schedule::Op::inspect:
      return inspect(flight, task);
    default:
      break;
  }
  const std::uint64_t elements = map_.chunks[static_cast<std::size_t>(task.chunk)].cells;
  auto* destination = address<float>(flight, task, schedule::Role::destination);
  const auto* source = address<float>(flight, task, schedule::Role::source);
  optim::add_in_place({destination, elements}, {source, elements});
}

void OptimizerLane::norm(Flight& flight, const schedule::Task& task) {
  const std::uint64_t elements = map_.chunks[static_cast<std::size_t>(task.chunk)].cells;
  const auto* gradient = address<float>(flight, task, schedule::Role::gradient);
  optim::square_sums({gradient, elements}, {norm_partials(flight, task), elements / optim::kNormBlock});
}

void OptimizerLane::update(Flight& flight, const schedule::Task& task) {
  const schedule::Chunk& chunk = map_.chunks[static_cast<std::size_t>(task.chunk)];
  const auto state = [&](schedule::Role role) { return address<std::byte>(flight, task, role); };
  const std::array states{state(schedule::Role::state0), state(schedule::Role::state1), state(schedule::Role::state2)};
  const optim::Optimizer& optimizer = *options_.optimizers[static_cast<std::size_t>(chunk.object)];
  const bool has_master = map_.object_of(chunk).master;
  optim::UpdateChunk update;
  update.weight = address<std::byte>(flight, task, schedule::Role::weight);
  if (has_master) update.master = states[0];
  std::copy(states.begin() + (has_master ? 1 : 0), states.end(), update.states.begin());
  update.gradient = address<float>(flight, task, schedule::Role::gradient);
  update.elements = chunk.cells;
  update.first_element = chunk.begin;
  update.runs = options_.decay_runs[static_cast<std::size_t>(chunk.object)];
  const bool late = task.step_offset < 0;
  if (!late) update.partials = norm_partials(flight, task);
  if (late && outcome_of(flight, task).what.skipped) return optimizer.restore_weight(update);
  if (!optimizer.update(scalars_of(flight, task, options_.policy), update)) note_bad_weight(flight, task, chunk.object);
}

void OptimizerLane::note_bad_weight(const Flight& flight, const schedule::Task& task, int object) const {
  StepOutcome& outcome = outcome_of(flight, task);
  const bool provisional = task.step_offset == 0 && map_.problem.guard == schedule::Guard::speculative;
  (provisional ? outcome.early_bad_weight : outcome.bad_weight).store(object, std::memory_order_relaxed);
}

void OptimizerLane::inspect(const Flight& flight, const schedule::Task& task) const {
  for (const schedule::Chunk& chunk : map_.chunks) {
    if (!chunk.updates_on_device || chunk.delayed != (task.step_offset < 0)) continue;
    const auto object = static_cast<std::size_t>(chunk.object);
    const std::uint32_t greatest = *memory_.host(map_.greatest_home[object]).as<std::uint32_t>();
    if (greatest >= optim::unstorable_magnitude(options_.optimizers[object]->weight_format())) note_bad_weight(flight, task, chunk.object);
  }
}

// The losses, and what else the heads tell, are the batch's from here on: of several ranks, everybody's.
void OptimizerLane::conclude(Flight& flight, const schedule::Task& task) {
  const schedule::Problem& problem = map_.problem;
  const std::size_t width = problem.result_bytes / sizeof(double);
  std::span<const double> results{address<double>(flight, task, schedule::Role::losses), static_cast<std::size_t>(problem.micro_batches) * width};
  Found found = flight.outcome != nullptr ? look_at_norms() : Found();
  if (options_.agreement != nullptr) results = share_results(results, found);
  StepBatch& batch = *flight.batch;
  for (std::size_t m = 0; m < batch.losses.size(); ++m, results = results.subspan(width)) {
    batch.losses[m] = results[0];
    if (!batch.sums.empty()) std::copy_n(results.data() + 1, width - 1, batch.sums.data() + m * (width - 1));
  }
  if (flight.outcome != nullptr) decide(flight, found);
}

std::span<const double> OptimizerLane::share_results(std::span<const double> own, Found& found) {
  std::copy(own.begin(), own.end(), said_.begin());
  said_[own.size()] = found.squares;
  said_[own.size() + 1] = found.bad_gradient;
  options_.agreement->share(said_, heard_);
  found = {};
  for (std::size_t rank = 0; rank < heard_.size() / said_.size(); ++rank) {
    const double* heard = heard_.data() + rank * said_.size();
    std::copy_n(heard, own.size(), results_.data() + rank * own.size());
    found.squares += heard[own.size()];
    found.bad_gradient = std::max(found.bad_gradient, static_cast<int>(heard[own.size() + 1]));
  }
  return results_;
}

// The sum goes over objects, and over the blocks of each, in their order.
OptimizerLane::Found OptimizerLane::look_at_norms() const {
  Found found;
  for (const schedule::Chunk& chunk : map_.chunks) {
    if (!map_.object_of(chunk).trained) continue;
    const auto* partials = memory_.host(chunk.norm_home).as<double>();
    bool finite = true;
    for (std::uint64_t i = 0; i < chunk.cells / optim::kNormBlock; ++i) {
      found.squares += partials[i];
      finite = finite && std::isfinite(partials[i]);
    }
    if (!finite) found.bad_gradient = chunk.object;
  }
  return found;
}

void OptimizerLane::decide(Flight& flight, const Found& found) {
  StepOutcome& outcome = *flight.outcome;
  outcome.bad_gradient = found.bad_gradient;
  const auto& losses = flight.batch->losses;
  const bool finite = std::all_of(losses.begin(), losses.end(), [](double loss) { return std::isfinite(loss); });
  const StepCounters before = counters_of(flight);
  outcome.verdict = judge(options_.policy, before, std::sqrt(found.squares), finite);
  if (map_.problem.guard == schedule::Guard::none) return;
  const StepOutcome& previous = *flight.before;
  outcome.what.skipped = !outcome.verdict.finite;
  outcome.what.revised = map_.problem.guard == schedule::Guard::speculative && outcome.verdict.finite &&
                         outcome.verdict.scalars.gradient_factor != unclipped(options_.policy, before).gradient_factor;
  const bool stands = !outcome.what.skipped && !outcome.what.revised;
  if (const int object = outcome.early_bad_weight.load(std::memory_order_relaxed); stands && object >= 0) outcome.bad_weight.store(object, std::memory_order_relaxed);
  outcome.what.unsaved = outcome.verdict.finite || (previous.what.unsaved && !previous.commits);
}

}  // namespace gsnake::runtime
