// Runs that were measured (benchmarks/prediction/bench), predicted again from the profile of the machine that they ran on: what is tested is the simulator
// by itself, and the same way on every machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>

#include "plan/forecast.h"
#include "plan/prediction_json.h"
#include "plan/shapes.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

constexpr double kStepBound = 0.10;
constexpr double kHeldBound = 0.03;  // of steps in which a lane is held to a rate
constexpr double kLaneBound = 0.15;

// What is known to hold of a recording.
struct Known {
  std::string file;
  int cells = 0;           // that can be predicted again
  double median = 0.0;     // of the steps' errors, at most
  int lanes = 0;           // busy times that are compared, and how many of them are within kLaneBound at least
  int lanes_within = 0;
  std::map<std::string, double> beyond;  // cells whose steps are further off than the bounds above, and how far at most
};

struct Replay {
  std::string cell;
  double error = 0.0;  // of the step
  bool held = false;   // some lane to a rate
  std::vector<double> lane_errors;
};

Json recording(const std::string& file) {
  std::ifstream in(std::string(GSNAKE_RESULTS) + "/" + file);
  return Json::parse(in);
}

// On the threads that it was measured with, however many this machine has.
Config config_of(const Json& base, const Json& settings) {
  std::vector<std::string> overrides{"train.compute_threads=2"};
  for (const Json& part : {base, settings}) {
    for (const auto& [key, value] : part.items()) overrides.push_back(key + "=" + value.dump());
  }
  return Config::parse("", ".", overrides);
}

// As models::gpt2() has it.
ModelLayout layout_of(const ModelConfig& model) {
  ModelLayout layout = test::gpt2_layout(model);
  const auto hidden = static_cast<double>(model.hidden);
  layout.shapes[0].forward_flops_per_token = hidden;
  layout.shapes[1].forward_flops_per_token = 24.0 * hidden * hidden + 2.0 * hidden * static_cast<double>(model.context);
  layout.shapes[2].forward_flops_per_token = 2.0 * hidden * static_cast<double>(model.vocab);
  return layout;
}

bool knows_units(const sim::MachineProfile& profile, const sim::Workload& workload) {
  return std::all_of(workload.unit_keys.begin(), workload.unit_keys.end(), [&](const std::string& key) { return profile.find_unit(key) != nullptr; });
}

Replay compare(const Json& cell, const sim::Prediction& predicted) {
  Replay replay;
  replay.cell = cell.at("cell");
  replay.error = 1e3 * predicted.step() / cell.at("measured_ms").get<double>() - 1.0;
  for (const auto& [key, value] : cell.at("settings").items()) replay.held = replay.held || key.starts_with("emulate.");
  for (std::size_t lane = 0; lane < predicted.lanes.size(); ++lane) {
    const auto measured = cell.at("lanes").find(schedule::kLaneNames[lane]);
    if (measured != cell.at("lanes").end()) replay.lane_errors.push_back(1e3 * predicted.lanes[lane].busy / measured->at("measured_ms").get<double>() - 1.0);
  }
  return replay;
}

// But for those that the kernel held the drive of: the profile of that was not recorded; nor where a unit's time was not.
std::vector<Replay> replays_of(const Json& recorded) {
  const sim::MachineProfile profile = sim::parse_profile(recorded.at("machine"), "what was recorded");
  std::vector<Replay> replays;
  for (const Json& cell : recorded.at("cells")) {
    if (cell.at("cell").get<std::string>().starts_with("cgroup-")) continue;
    const Config config = config_of(recorded.at("base"), cell.at("settings"));
    const ModelLayout layout = layout_of(config.model);
    Setting setting;
    setting.layout = &layout;
    setting.native.bf16 = true;
    if (!knows_units(profile, workload_of(config, layout, setting.native))) continue;
    replays.push_back(compare(cell, forecast(config, setting, profile, prediction_options(config)).prediction));
  }
  return replays;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void expect_as_close_as(const Known& known) {
  SCOPED_TRACE(known.file);
  const std::vector<Replay> replays = replays_of(recording(known.file));
  ASSERT_EQ(static_cast<int>(replays.size()), known.cells);
  std::vector<double> errors;
  int lanes = 0;
  int within = 0;
  for (const Replay& replay : replays) {
    const auto named = known.beyond.find(replay.cell);
    const double bound = named != known.beyond.end() ? named->second : replay.held ? kHeldBound : kStepBound;
    EXPECT_LE(std::abs(replay.error), bound) << replay.cell << ": " << 100.0 * replay.error << "%";
    errors.push_back(std::abs(replay.error));
    lanes += static_cast<int>(replay.lane_errors.size());
    within += static_cast<int>(std::count_if(replay.lane_errors.begin(), replay.lane_errors.end(), [](double error) { return std::abs(error) <= kLaneBound; }));
  }
  std::printf("%s: %zu steps, median error %.2f%%; %d of %d busy times within %.0f%%\n", known.file.c_str(), replays.size(), 100.0 * median(errors), within,
              lanes, 100.0 * kLaneBound);
  EXPECT_LE(median(errors), known.median);
  EXPECT_EQ(lanes, known.lanes);
  EXPECT_GE(within, known.lanes_within);
}

TEST(Recorded, RunsOnAXeonArePredictedAsCloselyAsTheDocsSay) {
  expect_as_close_as({.file = "prediction.json", .cells = 27, .median = 0.01, .lanes = 131, .lanes_within = 77, .beyond = {{"horizontal-m1", 0.115}, {"d2h", 0.06}}});
}

TEST(Recorded, RunsOnAnEpycArePredictedAsCloselyAsTheDocsSay) {
  expect_as_close_as({.file = "prediction_epyc.json", .cells = 28, .median = 0.03, .lanes = 112, .lanes_within = 76, .beyond = {{"d2h", 0.07}}});
}

}  // namespace
}  // namespace gsnake::plan
