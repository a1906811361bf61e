#include "plan/store_layout.h"

#include <algorithm>

#include "runtime/store_layout.h"

namespace gsnake::plan {

store::Layout make_store_layout(const Config& config, const schedule::Problem& problem) {
  return runtime::store_layout(problem, config.run.durability == Durability::commit ? 2 + snapshot_places(config) : 1);
}

int snapshot_places(const Config& config) {
  return config.run.durability == Durability::commit && config.run.snapshot_every > 0 ? static_cast<int>(config.run.snapshot_keep) : 0;
}

std::uint64_t stream_bytes(const Config& config) {
  constexpr std::uint64_t kLeast = 2ULL << 20;
  constexpr std::uint64_t kMost = 32ULL << 20;
  return std::clamp(config.memory.host_budget / 4, kLeast, kMost);
}

store::Layout scratch_layout(const store::Layout& layout) {
  store::Layout scratch;
  for (store::Kind k : {store::Kind::gradients, store::Kind::activations}) scratch.kinds[static_cast<std::size_t>(k)] = layout.kinds[static_cast<std::size_t>(k)];
  return scratch;
}

}  // namespace gsnake::plan
