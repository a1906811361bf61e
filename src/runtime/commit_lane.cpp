#include "runtime/commit_lane.h"

#include "core/threads.h"

namespace gsnake::runtime {

CommitLane::CommitLane(std::size_t most_ready, CarryOut carry_out, TaskSink& sink)
    : carry_out_(std::move(carry_out)), sink_(sink), queue_(most_ready), thread_([this] { work(); }) {}

void CommitLane::ready(Flight& flight, TaskId task) {
  const std::lock_guard lock(mutex_);
  queue_.push(flight, task);
  changed_.notify_one();
}

void CommitLane::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::optional<InHand> CommitLane::oldest() {
  const std::lock_guard lock(mutex_);
  return in_hand_;
}

void CommitLane::work() {
  core::set_thread_name("gs-commit");
  core::block_signals();
  try {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_ || sink_.poisoned()) return;
      const ReadyQueue::Entry entry = queue_.pop();
      const std::int64_t begin = now_ns();
      in_hand_ = InHand{entry.flight->step, &entry.flight->task(entry.task), begin};
      lock.unlock();
      clock_.enter(begin);
      carry_out_(*entry.flight, entry.task);
      const std::int64_t end = now_ns();
      entry.flight->times[static_cast<std::size_t>(entry.task)] = {begin, end};
      clock_.leave(begin, end, 0);
      sink_.completed(*entry.flight, entry.task);
      lock.lock();
      in_hand_.reset();
    }
  } catch (...) {
    sink_.fail(std::current_exception());
  }
}

}  // namespace gsnake::runtime
