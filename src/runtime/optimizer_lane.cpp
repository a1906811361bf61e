#include "runtime/optimizer_lane.h"

#include "core/threads.h"

namespace gsnake::runtime {

OptimizerLane::OptimizerLane(const Options& options, const schedule::Map& map, const optim::Optimizer& optimizer, const MemoryImage& memory,
                             TaskSink& sink)
    : options_(options), map_(map), optimizer_(optimizer), memory_(memory), sink_(sink), throttle_(options.emulated_rate), queue_(options.most_ready),
      in_hand_(options.threads) {
  try {
    for (unsigned i = 0; i < options.threads; ++i) threads_.emplace_back([this, i] { work(i); });
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
      clock_.leave(end, entry.flight->task(entry.task).bytes);
      sink_.completed(*entry.flight, entry.task);
      lock.lock();
      in_hand_[index].reset();
    }
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

std::byte* OptimizerLane::address(const Flight& flight, const schedule::Task& task, schedule::Role role) const {
  const schedule::Access* access = flight.graph().find(task, role);
  return access == nullptr ? nullptr : memory_.address(flight.physical[static_cast<std::size_t>(access->resource)]) + access->offset;
}

void OptimizerLane::run(Flight& flight, TaskId id) {
  const schedule::Task& task = flight.task(id);
  const std::uint64_t elements = map_.chunks[static_cast<std::size_t>(task.chunk)].elements;
  if (task.op == schedule::Op::add) {
    auto* destination = reinterpret_cast<float*>(address(flight, task, schedule::Role::destination));
    const auto* source = reinterpret_cast<const float*>(address(flight, task, schedule::Role::source));
    optim::add_in_place({destination, elements}, {source, elements});
  } else if (task.op == schedule::Op::norm) {
    norm(flight, task);
  } else {
    update(flight, task);
  }
}

double* OptimizerLane::partials(Flight& flight, const schedule::Chunk& chunk) const {
  const std::uint64_t first = options_.first_norm_partial[static_cast<std::size_t>(chunk.object)] + chunk.begin / optim::kNormBlock;
  return flight.norm_partials.data() + first;
}

void OptimizerLane::norm(Flight& flight, const schedule::Task& task) {
  const schedule::Chunk& chunk = map_.chunks[static_cast<std::size_t>(task.chunk)];
  const auto* gradient = reinterpret_cast<const float*>(address(flight, task, schedule::Role::gradient));
  optim::square_sums({gradient, chunk.elements}, {partials(flight, chunk), chunk.elements / optim::kNormBlock});
}

void OptimizerLane::update(Flight& flight, const schedule::Task& task) {
  const schedule::Chunk& chunk = map_.chunks[static_cast<std::size_t>(task.chunk)];
  optim::UpdateChunk update;
  update.weight = address(flight, task, schedule::Role::weight);
  update.states = {address(flight, task, schedule::Role::state0), address(flight, task, schedule::Role::state1), address(flight, task, schedule::Role::state2)};
  update.gradient = reinterpret_cast<const float*>(address(flight, task, schedule::Role::gradient));
  update.elements = chunk.elements;
  update.first_element = chunk.begin;
  update.runs = options_.decay_runs[static_cast<std::size_t>(chunk.object)];
  const bool eager = task.step_offset == 0;
  if (eager) update.partials = partials(flight, chunk);  // a delayed part's were taken in the step that it belongs to
  // In fp32 a weight that is not finite needs no notice of its own: the gradient that caused it, or the next loss, is not finite either.
  static_cast<void>(optimizer_.update(eager ? flight.scalars : flight.previous_scalars, update));
}

}  // namespace gsnake::runtime
