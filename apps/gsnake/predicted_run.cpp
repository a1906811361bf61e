#include "predicted_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "checkpoint/run_state.h"
#include "greedysnake/error.h"
#include "plan/prediction_json.h"
#include "plan/side_by_side.h"
#include "planning_arguments.h"

namespace gsnake::command {
namespace {

// Null where there is nothing.
report::Json at(const report::Json& start, const char* pointer) {
  const report::Json::json_pointer place(pointer);
  return start.contains(place) ? start[place] : report::Json();
}

std::string text_at(const report::Json& start, const char* pointer) {
  const report::Json text = at(start, pointer);
  return text.is_string() ? text.get<std::string>() : "";
}

// Runs of one process, and those recorded before there were several, say nothing else.
int ranks_at(const report::Json& start, const char* pointer, int most) {
  const report::Json count = at(start, pointer);
  return count.is_number_integer() ? static_cast<int>(std::clamp<std::int64_t>(count.get<std::int64_t>(), 1, most)) : 1;
}

// Empty where what is known of this machine is of the run's.
std::string another_machine(const report::Json& start, const sim::MachineProfile& known) {
  const std::string predicted = text_at(start, "/prediction/machine");
  const std::string cpu = text_at(start, "/machine/cpu");
  const bool is_the_same = predicted.empty() ? cpu.empty() || cpu == known.cpu.name : predicted == known.name;
  if (is_the_same) return "";
  return fmt::format("The run was {} {}, and what is known here is {}: --machine names a profile.", predicted.empty() ? "on" : "predicted for", predicted.empty() ? cpu : predicted, known.name);
}

}  // namespace

RunPrediction predict_run(const report::Json& start, const std::string& machine, bool batches) {
  constexpr int kMostRanks = 1 << 16;
  const report::Json recorded = at(start, "/config");
  if (!recorded.is_object()) return {nullptr, nullptr, "The run's first line has no config."};
  try {
    Config config = checkpoint::parse_config(nlohmann::json(recorded));
    config.ranks.count = ranks_at(start, "/ranks/count", kMostRanks);
    config.ranks.local_count = ranks_at(start, "/ranks/local_count", config.ranks.count);
    config.validate();
    PlanningArguments arguments;
    arguments.machine = machine;
    arguments.computes = false;  // the run may be at work
    const Planning planning = prepare_planning(config, arguments, train::Measuring::never);
    const plan::Setting& setting = planning.basis->setting;
    const sim::MachineProfile& profile = planning.basis->profile;
    const std::string other = machine.empty() ? another_machine(start, profile) : "";
    if (!other.empty()) return {nullptr, nullptr, other};
    sim::PredictionOptions options = plan::prediction_options(config, true);
    options.traced = {config.run.trace_first, config.run.trace_last};
    RunPrediction made{plan::json_of(plan::forecast(config, setting, profile, options), config, profile), nullptr, ""};
    if (batches) made.batches = plan::json_of(plan::over_micro_batches(config, setting, profile, kMostMicroBatches));
    return made;
  } catch (const Error& error) {
    return {nullptr, nullptr, fmt::format("Nothing is predicted beside the run: {}.", error.what())};
  }
}

}  // namespace gsnake::command
