// Predictions as `gsnake plan` and `gsnake simulate` print them, and reports read them (docs/planner.md). Of several ranks, lanes, memory and SSD traffic
// are those of one.
#pragma once

#include <nlohmann/json.hpp>

#include "plan/side_by_side.h"

namespace gsnake::plan {

using Json = nlohmann::ordered_json;

Json json_of(const Forecast& forecast, const Config& config, const sim::MachineProfile& profile);
Json json_of(const std::vector<Contender>& contenders);
Json json_of(const BatchPoint& point);
Json json_of(const std::vector<BatchPoint>& points);
// {"compute": {"busy_ms", "limit_ms"}, ...}: of the lanes that have work.
Json json_of_lanes(const sim::Prediction& prediction);

// The same for people: a table of lanes, what binds, the critical path, SSD traffic and wear.
std::string text_of(const Forecast& forecast, const Config& config, const sim::MachineProfile& profile);
std::string text_of(const std::vector<Contender>& contenders);

}  // namespace gsnake::plan
