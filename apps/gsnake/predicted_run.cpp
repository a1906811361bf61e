#include "predicted_run.h"

#include <spdlog/spdlog.h>

#include "checkpoint/run_state.h"
#include "greedysnake/error.h"
#include "plan/prediction_json.h"
#include "planning_arguments.h"
#include "report/metrics.h"

namespace gsnake::command {

report::Json predict_run(const report::RunPlace& place, const std::string& machine) {
  try {
    const report::Json start = report::read_metrics(place.metrics).start;
    if (!start.contains("config")) return nullptr;
    const Config config = checkpoint::parse_config(nlohmann::json(start.at("config")));
    PlanningArguments arguments;
    arguments.machine = machine;
    arguments.computes = false;  // the run may be at work
    const Planning planning = prepare_planning(config, arguments, train::Measuring::never);
    sim::PredictionOptions options;
    options.commit_every = static_cast<int>(config.run.commit_every);
    options.timeline = true;
    return plan::json_of(plan::forecast(config, planning.basis->setting, planning.basis->profile, options), config, planning.basis->profile);
  } catch (const Error& error) {
    spdlog::info("nothing is predicted beside the run: {}", error.what());
    return nullptr;
  }
}

}  // namespace gsnake::command
