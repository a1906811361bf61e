#include "predicted_run.h"

#include <spdlog/spdlog.h>

#include "checkpoint/run_state.h"
#include "greedysnake/error.h"
#include "plan/prediction_json.h"
#include "planning_arguments.h"

namespace gsnake::command {

namespace {

// Runs of one process, and those recorded before there were several, say nothing else.
int ranks_of(const report::Json& start, const char* which) {
  const auto ranks = start.find("ranks");
  if (ranks == start.end() || !ranks->is_object()) return 1;
  const auto count = ranks->find(which);
  return count != ranks->end() && count->is_number_integer() && count->get<std::int64_t>() > 0 ? static_cast<int>(count->get<std::int64_t>()) : 1;
}

}  // namespace

report::Json predict_run(const report::Json& start, const std::string& machine) {
  const auto recorded = start.find("config");
  if (recorded == start.end() || !recorded->is_object()) return nullptr;
  try {
    Config config = checkpoint::parse_config(nlohmann::json(*recorded));
    config.ranks.count = ranks_of(start, "count");
    config.ranks.local_count = ranks_of(start, "local_count");
    PlanningArguments arguments;
    arguments.machine = machine;
    arguments.computes = false;  // the run may be at work
    const Planning planning = prepare_planning(config, arguments, train::Measuring::never);
    sim::PredictionOptions options = plan::prediction_options(config, true);
    options.traced = {config.run.trace_first, config.run.trace_last};
    return plan::json_of(plan::forecast(config, planning.basis->setting, planning.basis->profile, options), config, planning.basis->profile);
  } catch (const Error& error) {
    spdlog::info("nothing is predicted beside the run: {}", error.what());
    return nullptr;
  }
}

}  // namespace gsnake::command
