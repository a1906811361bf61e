// From a config and a model's shapes to what a run needs: the schedule's problem, pools that fit the budgets, the layout on SSD.
#pragma once

#include <cstdint>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/trainer.h"
#include "memory/budget.h"
#include "plan/model_layout.h"
#include "plan/numerics.h"
#include "schedule/graph.h"
#include "store/store.h"

namespace gsnake::plan {

// With training = false, forward passes only: no optimizer state, one micro-batch, nothing placed off the SSD.
schedule::Problem make_problem(const Config& config, const Numerics& numerics, const Model& model, const ModelLayout& layout, bool training);

store::Layout make_store_layout(const Config& config, const schedule::Problem& problem);
// How many commits are kept beside the newest.
int snapshot_places(const Config& config);
// The part of it that does not outlive a run.
store::Layout scratch_layout(const store::Layout& layout);

// Bytes beside slots and homes that a budget has to hold.
struct Overheads {
  std::uint64_t torch_temporaries = 0;  // device: measured by the rehearsal
  std::uint64_t widened_weights = 0;    // device
  std::uint64_t snapshot_buffers = 0;   // host
};

struct MemoryPlan {
  schedule::PoolSizes pools;
  std::vector<MemoryItem> items;
  std::uint64_t host_bytes = 0;
  std::uint64_t device_bytes = 0;
};

// The fewest slots plus as many as make lanes run ahead, as the budgets allow. Throws Error(budget) with the table when the fewest do not fit.
MemoryPlan plan_memory(const Config& config, const schedule::Problem& problem, const Overheads& overheads);

// What training wholly in memory holds: weights, gradients, moments, and the checkpoints of every micro-batch.
std::uint64_t in_memory_bytes(const schedule::Problem& problem);

}  // namespace gsnake::plan
