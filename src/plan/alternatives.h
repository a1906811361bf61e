// What a config could say instead, where what it says does not fit its budgets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/requirements.h"

namespace gsnake::plan {

struct Alternative {
  std::string key;    // "placement.gradients.host"
  std::string value;  // as a config has it
  bool changes_maths = false;
};

// Keys other than the budgets of which each alone lets the run fit both of them, with the value nearest to the config's that does. Each is
// found by planning with it.
std::vector<Alternative> alternatives(const Config& config, const Setting& setting);

// The least memory.TIER_budget under which that tier ("host", "device") fits, where the config needs `items`.
std::uint64_t least_budget(const Config& config, const Setting& setting, const std::vector<MemoryItem>& items, const std::string& tier);

// By how many bytes the run exceeds its budgets in the tier where it is worst; at most 0: it fits.
double overshoot(const Config& config, const Setting& setting);

}  // namespace gsnake::plan
