#include "checkpoint/step_committer.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core/log.h"

namespace gsnake::checkpoint {

StepCommitter::StepCommitter(const Config& config, const schedule::Map& map, store::Store& store, CommitSettings settings)
    : config_(config), store_(store), settings_(std::move(settings)), snapshots_(store) {
  for (std::size_t i = 0; i < map.extents.size(); ++i) {
    if (!core::is_state(map.extents[i])) continue;
    extents_.push_back(static_cast<int>(i));
    checksums_.push_back({map.extents[i], 0});
  }
}

bool StepCommitter::may_commit(std::int64_t step) {
  const auto is_beside_readers = [&] { return beside_readers_.load(std::memory_order_acquire) == step; };
  const bool waits = settings_.every_step || settings_.agree;  // ranks commit the same steps
  if (waits && !is_beside_readers()) wait_for_readers(is_beside_readers);
  const bool beside_readers = is_beside_readers();
  if (store_.exclude_readers()) return true;
  if (beside_readers) {
    overtaken_.store(true, std::memory_order_release);
    return true;
  }
  if (declined_.exchange(step, std::memory_order_acq_rel) <= committed()) {
    spdlog::info("another process reads the commit of step {} of {}: no step is committed until it ends", std::max<std::int64_t>(0, committed()),
                 config_.run.dir);
  }
  return false;
}

void StepCommitter::make_way() {
  if (!overtaken_.exchange(false, std::memory_order_acq_rel)) return;
  wait_for_readers();
  store_.admit_readers();
}

void StepCommitter::wait_for_readers(const std::function<bool()>& no_longer) {
  constexpr std::chrono::milliseconds kPause{20};
  for (bool told = false; !gives_up_.load(std::memory_order_acquire) && !(no_longer && no_longer()) && !store_.exclude_readers(); told = true) {
    if (!told) spdlog::info("another process reads a commit of {}; waiting for its end", config_.run.dir);
    std::this_thread::sleep_for(kPause);
  }
}

RunState StepCommitter::state_after(std::int64_t step, const runtime::StepCounters& counters) {
  const std::lock_guard lock(states_mutex_);
  RunState state = states_[static_cast<std::size_t>(step) % states_.size()];
  if (state.step != step) throw std::logic_error("commit: nothing is known of step " + std::to_string(step));
  state.updates = counters.updates;
  state.loss_scale = counters.loss_scale;
  state.good_steps = counters.good_steps;
  return state;
}

void StepCommitter::take_checksums() {
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    const runtime::SlotTable::Checksum checksum = slots_->checksum(extents_[i]);
    if (!checksum.known) throw std::logic_error("commit: a piece of state was never written");
    checksums_[i].xxh3 = checksum.value;
  }
}

void StepCommitter::commit(std::int64_t step, const runtime::StepCounters& counters, int slot) {
  nlohmann::json training = to_json(state_after(step, counters), config_);
  training["parameters"] = settings_.parameters;
  take_checksums();
  wait_for_snapshot();  // of the slot that later updates overwrite once this step is committed
  const store::Commit commit{slot, std::move(training), settings_.hashes ? std::span<const store::Checksum>(checksums_) : std::span<const store::Checksum>()};
  if (settings_.agree) {
    const store::PreparedCommit prepared = store_.prepare(commit);
    settings_.agree(step);
    store_.publish(prepared);
  } else {
    store_.commit(commit);
  }
  store_.admit_readers();
  snapshot_if_due(step);
  committed_.store(step, std::memory_order_release);  // last: whoever sees it may wait for the snapshot
}

// Beside the steps that follow, until the next commit.
void StepCommitter::snapshot_if_due(std::int64_t step) {
  const std::int64_t every = config_.run.snapshot_every;
  if (every <= 0 || step / every <= last_snapshot_ / every) return;
  last_snapshot_ = step;
  snapshots_.start(static_cast<int>((step / every) % config_.run.snapshot_keep));
}

}  // namespace gsnake::checkpoint
