// A run's steps and what is durable of them: what a trainer does before each step, to commit, and at its end.
#pragma once

#include <cstdint>
#include <exception>
#include <utility>

#include "checkpoint/run_state.h"
#include "checkpoint/step_committer.h"
#include "runtime/executor.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// One thread drives it, the executor's. The commits that steps ask for are carried out by the executor's commit lane meanwhile. What overwrites
// or gives up a commit is decided here by the layout on SSD, which never changes, and by what this thread alone has done.
class DurableRun {
 public:
  using Ticket = runtime::Executor::Ticket;

  // `state` is that of the store's commit, if it has one, else where the run begins. All are borrowed.
  DurableRun(const Config& config, const schedule::Map& map, store::Store& store, RunState state, CommitSettings settings);
  DurableRun(const DurableRun&) = delete;
  DurableRun& operator=(const DurableRun&) = delete;

  // For the executor's options, where its problem has commits.
  [[nodiscard]] runtime::Committer& committer() { return committer_; }
  // Once, before the first step. The executor goes before this does; end() comes before that.
  void attach(runtime::Executor& executor);
  // Waits for no reader of a commit any more, so that the executor can end.
  void end() { committer_.give_up(); }

  // Starts the next step, which gives `batch` its number, as Executor::train() does; every run.commit_every steps it is to become durable.
  Ticket train(runtime::StepBatch& batch);

  // Of all steps, whose results were awaited: starts the graph that completes them on SSD, and waits for its end. Most often that commits.
  Ticket finish();
  // After finish(): commits what it did not, and waits for the snapshot of that. Throws Error(storage).
  void commit_finished();
  // The newest step that was started is committed.
  [[nodiscard]] bool all_committed() const { return committer_.committed() == state_.step; }
  // Until a snapshot that is being made is complete. Throws what stopped it.
  void wait_for_snapshot() { committer_.wait_for_snapshot(); }

  [[nodiscard]] std::int64_t started() const { return state_.step; }  // the newest step
  [[nodiscard]] std::int64_t committed() const { return committer_.committed(); }  // -1: none. Thread-safe
  // Of the steps that are started from now on: kept in their commits.
  void set_data_position(DataPosition position) { state_.position = std::move(position); }
  [[nodiscard]] const DataPosition& data_position() const { return state_.position; }

 private:
  void retract_before_overwriting();
  [[nodiscard]] int slot_of_state() const;

  const Config& config_;
  store::Store& store_;
  const bool overwrites_commit_;  // the layout has one slot: updates overwrite the state of the commit in place
  RunState state_;                // of the steps that were started
  bool commit_stands_ = false;    // with one slot: there is a manifest, whole or in some folders
  StepCommitter committer_;
  runtime::Executor* executor_ = nullptr;
  std::exception_ptr failure_;  // of a commit that may stand in part: nothing may write to its slot any more
};

}  // namespace gsnake::checkpoint
