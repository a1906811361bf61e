// commit: makes steps durable, one at a time, on a thread of its own.
#pragma once

#include <thread>

#include "runtime/lane.h"

namespace gsnake::runtime {

// What makes a step durable. Borrowed by the executor.
class Committer {
 public:
  virtual ~Committer() = default;
  // Asked before commit(), on the commit lane's thread. When false, the step is not committed: later updates overwrite the same slot. Never
  // false where updates are speculative, which needs every step committed.
  virtual bool may_commit(std::int64_t /*step*/) { return true; }
  // All state of `step`, which leaves `counters`, stands in `slot`; nothing writes state there until the call returns, after which later
  // updates go to the other slot. It is the slot of the commit before where no update was applied since. Called on the commit lane's
  // thread. What it throws stops the run.
  virtual void commit(std::int64_t step, const StepCounters& counters, int slot) = 0;
};

class CommitLane final : public LaneRunner {
 public:
  // `carry_out` commits the step that a task stands for; it may throw.
  using CarryOut = std::function<void(Flight&, TaskId)>;
  CommitLane(std::size_t most_ready, CarryOut carry_out, TaskSink& sink);
  ~CommitLane() override { stop(); }

  void ready(Flight& flight, TaskId task) override;
  void stop() noexcept override;
  [[nodiscard]] std::optional<InHand> oldest() override;

 private:
  void work();

  const CarryOut carry_out_;
  TaskSink& sink_;
  std::mutex mutex_;
  std::condition_variable changed_;
  ReadyQueue queue_;
  std::optional<InHand> in_hand_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gsnake::runtime
