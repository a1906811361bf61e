// The same model on the same machine in other systems' order and data movement.
#pragma once

#include <string>
#include <vector>

#include "plan/forecast.h"

namespace gsnake::plan {

struct Contender {
  std::string name;
  std::string what;   // how it differs, in a line
  schedule::Problem problem;
  double delay = 0.0;
  double tokens = 0.0;  // a step, of all ranks
  sim::Prediction prediction = {};

  [[nodiscard]] double tokens_per_second() const { return prediction.step() > 0.0 ? tokens / prediction.step() : 0.0; }
};

// This library with the config as it is (a delay that is left open: the best in quarters); its horizontal order with ZeRO-Infinity's state (a whole fp32 master beside 16-bit weights); GreedySnake
// as published (the same state: 30 - 2 x delay bytes a parameter, its best delay in quarters, no state read before the turn, each step ends
// before the next begins); Fuyou's way (one micro-batch a step, activations on SSD, updates beside backward). All with the config's
// placement of what they share, and its ranks, each with its part of everything. Choices must have been made. The sizes of slots are not held to the budgets: these systems have their own.
std::vector<Contender> side_by_side(const Config& config, const Setting& setting, const sim::MachineProfile& profile);

// What throughput comes to with other numbers of micro-batches: 1, 2, 4, ... to at least `most`, of each rank.
std::vector<BatchPoint> over_micro_batches(const Config& config, const Setting& setting, const sim::MachineProfile& profile, std::int64_t most);

}  // namespace gsnake::plan
