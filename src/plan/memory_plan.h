// How the budgets are used: homes as placement has them, and slots as many as fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "schedule/graph.h"

namespace gsnake::plan {

// Bytes beside slots and homes that a budget has to hold.
struct Overheads {
  std::uint64_t torch_temporaries = 0;  // device
  std::uint64_t widened_weights = 0;    // device
  std::uint64_t snapshot_buffers = 0;   // host
};

struct MemoryPlan {
  schedule::PoolSizes pools;
  std::vector<MemoryItem> items;
  std::uint64_t host_bytes = 0;
  std::uint64_t device_bytes = 0;
};

// Of the items of one tier, "host" or "device".
std::uint64_t bytes_of(const std::vector<MemoryItem>& items, const std::string& tier);

// What the problem needs with the fewest slots that it can be run with.
std::vector<MemoryItem> least_memory(const schedule::Problem& problem, const Overheads& overheads);

// The fewest slots plus as many as make lanes run ahead, as the budgets allow. Throws Error(budget) with the table when the fewest do not fit.
MemoryPlan plan_memory(const MemoryConfig& budgets, const schedule::Problem& problem, const Overheads& overheads);

}  // namespace gsnake::plan
