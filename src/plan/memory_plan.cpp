#include "plan/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"
#include "schedule/footprint.h"

namespace gsnake::plan {
namespace {

constexpr int kExtraActivations = 2;  // slots, so that copies run beside compute
constexpr int kExtraParts = 1;        // likewise beside collectives

}  // namespace

// Chunks for two objects in flight on top of the fewest, some hidden states, and of several ranks a part of an object that is copied while another is
// gathered or added up.
schedule::PoolSizes generous_pools(const schedule::Map& map, const schedule::PoolSizes& fewest) {
  schedule::PoolSizes sizes = fewest;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const schedule::PoolRole role = map.pools[i].role;
    if (sizes[i] == 0) continue;
    if (role == schedule::PoolRole::host_chunk) sizes[i] = std::max(3 * sizes[i], static_cast<int>(sizes[i] + 2 * schedule::kSsdTasksInFlight));
    if (role == schedule::PoolRole::host_activation || role == schedule::PoolRole::device_activation) sizes[i] += kExtraActivations;
    if (role == schedule::PoolRole::device_weight_parts || role == schedule::PoolRole::device_gradient_parts) sizes[i] += kExtraParts;
  }
  return sizes;
}

schedule::PoolSizes pools_between(const schedule::PoolSizes& fewest, const schedule::PoolSizes& most, int eighths) {
  schedule::PoolSizes sizes = fewest;
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] += (most[i] - fewest[i]) * eighths / kEighths;
  return sizes;
}

memory::BudgetPlan budget_plan(const std::vector<MemoryItem>& items, const std::string& tier, const MemoryConfig& budgets) {
  memory::BudgetPlan plan(tier, tier == "host" ? budgets.host_budget : budgets.device_budget);
  for (const MemoryItem& item : items) {
    if (item.tier == tier) plan.add(item.name, item.bytes, item.detail);
  }
  return plan;
}

std::uint64_t bytes_of(const std::vector<MemoryItem>& items, const std::string& tier) { return budget_plan(items, tier, {}).total(); }

MemoryItem slots_item(const schedule::Pool& pool) {
  const std::uint64_t slot = schedule::allocated_bytes({pool.space, pool.bytes, -1, {}});
  return {pool.space == schedule::Space::host ? "host" : "device", "slots for " + pool.name, slot * static_cast<std::uint64_t>(pool.slots),
          fmt::format("{} of {}", pool.slots, core::format_bytes(slot))};
}

std::vector<MemoryItem> memory_items(const schedule::Problem& problem, const schedule::PoolSizes& pools, const Overheads& overheads,
                                     const schedule::Program& program) {
  return memory_items(problem, pools, overheads, schedule::table_bytes(program));
}

std::vector<MemoryItem> memory_items(const schedule::Problem& problem, const schedule::PoolSizes& pools, const Overheads& overheads,
                                     std::uint64_t table_bytes) {
  const schedule::Map map = schedule::make_map(problem, pools);
  std::vector<MemoryItem> items;
  std::map<std::pair<std::string, std::string>, std::uint64_t> homes;
  for (const schedule::Buffer& buffer : map.buffers) {
    if (buffer.pool < 0) homes[{buffer.space == schedule::Space::host ? "host" : "device", buffer.name}] += schedule::allocated_bytes(buffer);
  }
  for (const auto& [key, bytes] : homes) items.push_back({key.first, key.second, bytes, "kept there by placement"});
  for (const schedule::Pool& pool : map.pools) items.push_back(slots_item(pool));
  items.push_back({"host", "task graphs and tables", table_bytes, fmt::format("{} chunks", map.chunks.size())});
  if (overheads.snapshot_buffers > 0) items.push_back({"host", "snapshot buffers", overheads.snapshot_buffers, "run.snapshot_every"});
  if (overheads.rank_buffers.host > 0) items.push_back({"host", "sums of ranks", overheads.rank_buffers.host, "gradients on their way"});
  if (overheads.rank_buffers.device > 0) items.push_back({"device", "sums of ranks", overheads.rank_buffers.device, "gradients on their way"});
  if (overheads.dequantised_weights > 0) items.push_back({"device", "dequantised weights", overheads.dequantised_weights, "of a unit, or of a part of one (docs/fine-tune.md)"});
  if (overheads.widened_weights > 0) items.push_back({"device", "widened weights", overheads.widened_weights, "train.compute_dtype"});
  items.push_back({"device", "LibTorch's temporaries", overheads.torch_temporaries, overheads.temporaries_detail});
  return items;
}

std::vector<MemoryItem> least_memory(const schedule::Problem& problem, const Overheads& overheads) {
  const schedule::PoolSizes fewest = schedule::minimum_pools(problem);
  return memory_items(problem, fewest, overheads, schedule::build_program(problem, fewest));
}

schedule::PoolSizes generous_pools(const schedule::Problem& problem) {
  return generous_pools(schedule::make_map(problem, {}), schedule::minimum_pools(problem));
}

MemoryPlan plan_memory(const MemoryConfig& budgets, const schedule::Problem& problem, const Overheads& overheads) {
  const schedule::PoolSizes fewest = schedule::minimum_pools(problem);
  const schedule::Program smallest = schedule::build_program(problem, fewest);
  const std::uint64_t tables = schedule::table_bytes(smallest);
  const auto plan_of = [&](const schedule::PoolSizes& sizes) {
    std::vector<MemoryItem> items = memory_items(problem, sizes, overheads, tables);
    const std::uint64_t host = bytes_of(items, "host");
    const std::uint64_t device = bytes_of(items, "device");
    return MemoryPlan{sizes, std::move(items), host, device};
  };
  // From the generous pools down to the fewest, in eighths of the way.
  const schedule::PoolSizes most = generous_pools(smallest.map, fewest);
  for (int eighths = kEighths; eighths > 0; --eighths) {
    MemoryPlan plan = plan_of(pools_between(fewest, most, eighths));
    if (plan.fits(budgets)) return plan;
  }
  return plan_of(fewest);
}

}  // namespace gsnake::plan
