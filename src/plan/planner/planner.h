// Makes the choices that a config leaves open: micro-batches, moments, the delay, placements and budgets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/forecast.h"
#include "plan/planner/placement.h"

namespace gsnake::plan {

struct PlannerInput {
  Config config;    // what is not "auto" in it is kept
  Setting setting;  // its layout is borrowed
  sim::MachineProfile profile;
  std::int64_t tokens_a_step =
      0;  // at least, where micro_batches is "auto"; 0: as few micro-batches as bring 95% of the best throughput, 64 at most of each rank
  Goal goal = Goal::throughput;
  std::uint64_t free_host_bytes = 0;  // what a rank's budgets that are "auto" may come to, less a margin. On the CPU, and of setting.one_memory, both are parts of the first
  std::uint64_t free_device_bytes = 0;
  bool advises = true;  // purchases and batches as well: as much work again
};

struct Choice {
  std::string key;     // "train.delay"
  std::string value;   // as a config has it
  bool maths = false;  // it changes what is computed
};

// What one more of something would bring.
struct Purchase {
  std::string what;
  double step_seconds = 0.0;
  double gain = 0.0;  // of throughput: 0.12 is 12%
};

struct Plan {
  Config config;  // leaves nothing open
  std::vector<Choice> choices;
  Forecast forecast;  // of this config, at full size
  std::vector<Purchase> purchases;       // the most useful first
  std::vector<BatchPoint> batches;       // of 1, 2, 4.. 64 micro-batches of each rank, those that fit
  std::optional<BatchPoint> saturation;  // the fewest with 95% of the best throughput of these; nothing: it still rises
  int considered = 0;                    // plans that were simulated
  double simulated_tasks = 0.0;          // of all their steps: what planning takes goes by it
};

// Throws Error(budget) where nothing fits, with the table of what needs what; Error(usage) where the profile lacks something, or the config
// asks for what excludes one another.
Plan make_plan(const PlannerInput& input);

}  // namespace gsnake::plan
