#include "checkpoint/step_committer.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <stdexcept>
#include <utility>

#include "core/log.h"
#include "core/threads.h"

namespace gsnake::checkpoint {

StepCommitter::StepCommitter(const Config& config, const schedule::Map& map, store::Store& store) : config_(config), store_(store) {
  for (std::size_t i = 0; i < map.extents.size(); ++i) {
    if (!runtime::is_state(map.extents[i])) continue;
    extents_.push_back(static_cast<int>(i));
    checksums_.push_back({runtime::store_extent(map.extents[i]), 0});
  }
}

StepCommitter::~StepCommitter() {
  if (!snapshot_.joinable()) return;
  snapshot_.join();
  if (snapshot_error_) spdlog::warn("the last snapshot was not completed");
}

bool StepCommitter::may_commit(std::int64_t step) {
  const bool beside_readers = beside_readers_.load(std::memory_order_acquire) == step;
  if (waits_ && !beside_readers) wait_for_readers();
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

void StepCommitter::wait_for_readers() {
  constexpr std::chrono::milliseconds kPause{20};
  for (bool told = false; !gives_up_.load(std::memory_order_acquire) && !store_.exclude_readers(); told = true) {
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

void StepCommitter::commit(std::int64_t step, const runtime::StepCounters& counters, int slot) {
  const RunState state = state_after(step, counters);
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    const runtime::SlotTable::Checksum checksum = slots_->checksum(extents_[i]);
    if (!checksum.known) throw std::logic_error("commit: a piece of state was never written");
    checksums_[i].xxh3 = checksum.value;
  }
  wait_for_snapshot();  // of the slot that later updates overwrite once this step is committed
  nlohmann::json training = to_json(state, config_);
  training["parameters"] = parameters_;
  store_.commit({slot, std::move(training), hashes_ ? std::span<const store::Checksum>(checksums_) : std::span<const store::Checksum>()});
  store_.admit_readers();
  committed_.store(step, std::memory_order_release);
  const std::int64_t every = config_.run.snapshot_every;
  if (every > 0 && step / every > last_snapshot_ / every) start_snapshot(step);
}

void StepCommitter::wait_for_snapshot() {
  if (!snapshot_.joinable()) return;
  snapshot_.join();
  if (snapshot_error_) std::rethrow_exception(std::exchange(snapshot_error_, nullptr));
}

// Beside the steps that follow, until the next commit.
void StepCommitter::start_snapshot(std::int64_t step) {
  last_snapshot_ = step;
  const auto place = static_cast<int>((step / config_.run.snapshot_every) % config_.run.snapshot_keep);
  snapshot_ = std::thread([this, place] {
    core::set_thread_name("gs-snapshot");
    core::block_signals();
    try {
      store_.snapshot(place);
    } catch (...) {
      snapshot_error_ = std::current_exception();
    }
  });
}

}  // namespace gsnake::checkpoint
