// Turns a step that is complete on SSD into a commit: what the manifest says of it, and the checksums of its state.
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "runtime/executor.h"
#include "store/store.h"
#include "train/run_state.h"

namespace gsnake::train {

class StepCommitter final : public runtime::Committer {
 public:
  // All are borrowed.
  StepCommitter(const Config& config, const schedule::Map& map, store::Store& store);

  // Once, before the first step.
  void set_slots(const runtime::SlotTable& slots) { slots_ = &slots; }
  // What is true after `state.step`; before that step is started. Kept until four more were.
  void expect(const RunState& state) { states_[static_cast<std::size_t>(state.step) % states_.size()] = state; }
  // On the commit lane, or while no lane is at work.
  void commit(std::int64_t step, int slot) override;

  // The newest step that is committed; -1: none. Thread-safe.
  [[nodiscard]] std::int64_t committed() const { return committed_.load(std::memory_order_acquire); }
  // Of a run that goes on.
  void resume_at(std::int64_t step) { committed_.store(step, std::memory_order_release); }

 private:
  const Config& config_;
  store::Store& store_;
  const runtime::SlotTable* slots_ = nullptr;
  std::array<RunState, 4> states_;
  std::vector<int> extents_;                  // of state, in the map's numbering
  std::vector<store::Checksum> checksums_;    // of each of them
  std::atomic<std::int64_t> committed_{-1};
};

}  // namespace gsnake::train
