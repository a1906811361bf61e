// Turns a step that is complete on SSD into a commit: what the manifest says of it, and the checksums of its state.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "checkpoint/run_state.h"
#include "checkpoint/snapshot_writer.h"
#include "runtime/executor.h"
#include "store/store.h"

namespace gsnake::checkpoint {

struct CommitSettings {
  std::uint64_t parameters = 0;  // what manifests say of the model's size
  bool hashes = true;            // false, for a benchmark: commits hold no checksums
  // Each step counts on the commit before it: may_commit() waits instead of saying no.
  bool every_step = false;
  // Where a run has several ranks: called between the two halves of a commit, returns once every rank has prepared `step`. What it throws
  // leaves the step prepared and not published, and ends the run.
  std::function<void(std::int64_t step)> agree;
};

class StepCommitter final : public runtime::Committer {
 public:
  // All are borrowed.
  StepCommitter(const Config& config, const schedule::Map& map, store::Store& store, CommitSettings settings);

  // Once, before the first step.
  void set_slots(const runtime::SlotTable& slots) { slots_ = &slots; }
  // What is true after `state.step`, but for its counters; before that step is started. Kept until four more were.
  void expect(const RunState& state) {
    const std::lock_guard lock(states_mutex_);
    states_[static_cast<std::size_t>(state.step) % states_.size()] = state;
  }
  // False while another process reads the last commit, whose slot would be overwritten next: then later steps go on overwriting the other
  // one, and a later one is committed. On the commit lane.
  bool may_commit(std::int64_t step) override;
  // On the commit lane, or while no lane is at work.
  void commit(std::int64_t step, const runtime::StepCounters& counters, int slot) override;
  // Until the snapshot that is being made, if there is one, is complete. Throws what stopped it. Thread-safe.
  void wait_for_snapshot() { snapshots_.wait(); }

  // Step `step` is committed even if the commit before it is being read: make_way() comes before any later step.
  void commit_beside_readers(std::int64_t step) { beside_readers_.store(step, std::memory_order_release); }
  // Waits for those who still read a commit that was replaced all the same.
  void make_way();
  // Waits for no readers any more: the run ends.
  void give_up() { gives_up_.store(true, std::memory_order_release); }
  // Until nobody reads the last commit; then nobody begins to until the store admits readers. Or until `no_longer` (may be empty) says so.
  void wait_for_readers(const std::function<bool()>& no_longer = {});

  // The newest step that is committed; -1: none. Nothing of its commit is left to do but what wait_for_snapshot() waits for. Thread-safe.
  [[nodiscard]] std::int64_t committed() const { return committed_.load(std::memory_order_acquire); }
  // Of a run that goes on; -1: its commit was given up. While no lane is at work.
  void resume_at(std::int64_t step) {
    committed_.store(step, std::memory_order_release);
    last_snapshot_ = step;
  }

 private:
  void take_checksums();
  void snapshot_if_due(std::int64_t step);
  // What was expected of `step`, with what came of it.
  [[nodiscard]] RunState state_after(std::int64_t step, const runtime::StepCounters& counters);

  const Config& config_;
  store::Store& store_;
  const CommitSettings settings_;
  const runtime::SlotTable* slots_ = nullptr;
  std::mutex states_mutex_;
  std::array<RunState, 4> states_;          // under states_mutex_
  std::vector<int> extents_;                // of state, in the map's numbering
  std::vector<store::Checksum> checksums_;  // of each of them
  std::atomic<std::int64_t> committed_{-1};
  std::atomic<std::int64_t> declined_{-1};  // the newest step that may_commit() said no to
  std::atomic<std::int64_t> beside_readers_{-1};
  std::atomic<bool> overtaken_{false};
  std::atomic<bool> gives_up_{false};
  std::int64_t last_snapshot_ = 0;  // step
  SnapshotWriter snapshots_;
};

}  // namespace gsnake::checkpoint
