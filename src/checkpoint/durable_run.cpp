#include "checkpoint/durable_run.h"

#include <utility>

#include "store/layout/layout.h"

namespace gsnake::checkpoint {

DurableRun::DurableRun(const Config& config, const schedule::Map& map, store::Store& store, RunState state, CommitSettings settings)
    : config_(config), store_(store), overwrites_commit_(store::state_slots(store.layout()) == 1), state_(std::move(state)),
      commit_stands_(store.manifest() != nullptr), committer_(config, map, store, std::move(settings)) {
  if (commit_stands_) committer_.resume_at(state_.step);
}

void DurableRun::attach(runtime::Executor& executor) {
  executor_ = &executor;
  committer_.set_slots(executor.slots());
}

// A kill from here on leaves no commit rather than one whose state is overwritten in part.
void DurableRun::retract_before_overwriting() {
  if (!overwrites_commit_ || !commit_stands_) return;
  committer_.wait_for_readers();
  store_.retract_manifest();
  store_.admit_readers();
  committer_.resume_at(-1);
  commit_stands_ = false;
}

DurableRun::Ticket DurableRun::train(runtime::StepBatch& batch) {
  if (failure_) std::rethrow_exception(failure_);
  committer_.make_way();
  retract_before_overwriting();
  batch.step = ++state_.step;
  committer_.expect(state_);
  return executor_->train(batch, state_.step % config_.run.commit_every == 0);
}

DurableRun::Ticket DurableRun::finish() {
  if (failure_) std::rethrow_exception(failure_);
  committer_.expect(state_);  // the data's position may be another
  committer_.commit_beside_readers(state_.step);
  const Ticket last = executor_->finish();
  executor_->wait_end(last - 1);  // which may be committing
  executor_->wait_end(last);
  return last;
}

// While updates are under way, extents stand in either slot.
int DurableRun::slot_of_state() const { return executor_->slots().newest_slot(); }

void DurableRun::commit_finished() {
  commit_stands_ = true;  // from its first copy on, whether or not all copies can be written
  if (!all_committed()) {
    // Nobody does it on the way: one slot, no step was taken, or somebody read the commit before.
    const int slot = slot_of_state();
    try {
      static_cast<void>(committer_.may_commit(state_.step));  // it may: see commit_beside_readers()
      committer_.commit(state_.step, executor_->counters(), slot);
    } catch (...) {
      if (!overwrites_commit_) failure_ = std::current_exception();  // with one slot, train() retracts first
      throw;
    }
    executor_->committed(slot);
  }
  wait_for_snapshot();
}

}  // namespace gsnake::checkpoint
