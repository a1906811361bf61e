#include "train/step_committer.h"

#include <stdexcept>

namespace gsnake::train {

StepCommitter::StepCommitter(const Config& config, const schedule::Map& map, store::Store& store) : config_(config), store_(store) {
  for (std::size_t i = 0; i < map.extents.size(); ++i) {
    if (!runtime::is_state(map.extents[i])) continue;
    extents_.push_back(static_cast<int>(i));
    checksums_.push_back({runtime::store_extent(map.extents[i]), 0});
  }
}

void StepCommitter::commit(std::int64_t step, int slot) {
  const RunState& state = states_[static_cast<std::size_t>(step) % states_.size()];
  if (state.step != step) throw std::logic_error("commit: nothing is known of step " + std::to_string(step));
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    const runtime::SlotTable::Checksum checksum = slots_->checksum(extents_[i]);
    if (!checksum.known) throw std::logic_error("commit: a piece of state was never written");
    checksums_[i].xxh3 = checksum.value;
  }
  store_.commit({slot, to_json(state, config_), checksums_});
  committed_.store(step, std::memory_order_release);
}

}  // namespace gsnake::train
