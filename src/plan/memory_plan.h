// How the budgets are used: homes as placement has them, and slots as many as fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "memory/budget.h"
#include "schedule/graph.h"

namespace gsnake::plan {

// In which gradients of several ranks are added up: in host memory, or in that of GPUs.
struct RankBuffers {
  std::uint64_t host = 0;
  std::uint64_t device = 0;
};

// Bytes beside slots and homes that a budget has to hold.
struct Overheads {
  std::uint64_t torch_temporaries = 0;  // device
  std::string temporaries_detail;
  std::uint64_t widened_weights = 0;    // device
  std::uint64_t dequantised_weights = 0;  // likewise
  std::uint64_t snapshot_buffers = 0;   // host
  RankBuffers rank_buffers;
};

struct MemoryPlan {
  schedule::PoolSizes pools;
  std::vector<MemoryItem> items;
  std::uint64_t host_bytes = 0;
  std::uint64_t device_bytes = 0;

  [[nodiscard]] bool fits(const MemoryConfig& budgets) const { return host_bytes <= budgets.host_budget && device_bytes <= budgets.device_budget; }
};

// The items of one tier, "host" or "device", beside its budget.
memory::BudgetPlan budget_plan(const std::vector<MemoryItem>& items, const std::string& tier, const MemoryConfig& budgets);
std::uint64_t bytes_of(const std::vector<MemoryItem>& items, const std::string& tier);

MemoryItem slots_item(const schedule::Pool& pool);
// What the problem needs with so many slots; the tables are those of `program`.
std::vector<MemoryItem> memory_items(const schedule::Problem& problem, const schedule::PoolSizes& pools, const Overheads& overheads,
                                     const schedule::Program& program);
std::vector<MemoryItem> memory_items(const schedule::Problem& problem, const schedule::PoolSizes& pools, const Overheads& overheads,
                                     std::uint64_t table_bytes);
// What the problem needs with the fewest slots that it can be run with.
std::vector<MemoryItem> least_memory(const schedule::Problem& problem, const Overheads& overheads);

// As many slots more than the fewest as make lanes run ahead; and so much of the way there.
schedule::PoolSizes generous_pools(const schedule::Map& map, const schedule::PoolSizes& fewest);
inline constexpr int kEighths = 8;
schedule::PoolSizes pools_between(const schedule::PoolSizes& fewest, const schedule::PoolSizes& most, int eighths);
// The fewest slots and as many more as make lanes run ahead, whatever they take.
schedule::PoolSizes generous_pools(const schedule::Problem& problem);
// The fewest slots plus as many as make lanes run ahead, as the budgets allow; the fewest where not even these fit.
MemoryPlan plan_memory(const MemoryConfig& budgets, const schedule::Problem& problem, const Overheads& overheads);

}  // namespace gsnake::plan
