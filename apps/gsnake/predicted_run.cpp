#include "predicted_run.h"

#include <spdlog/spdlog.h>

#include "checkpoint/run_state.h"
#include "greedysnake/error.h"
#include "plan/prediction_json.h"
#include "planning_arguments.h"

namespace gsnake::command {

report::Json predict_run(const report::Json& recorded, const std::string& machine) {
  if (!recorded.is_object()) return nullptr;
  try {
    const Config config = checkpoint::parse_config(nlohmann::json(recorded));
    PlanningArguments arguments;
    arguments.machine = machine;
    arguments.computes = false;  // the run may be at work
    const Planning planning = prepare_planning(config, arguments, train::Measuring::never);
    return plan::json_of(plan::forecast(config, planning.basis->setting, planning.basis->profile, plan::prediction_options(config, true)), config, planning.basis->profile);
  } catch (const Error& error) {
    spdlog::info("nothing is predicted beside the run: {}", error.what());
    return nullptr;
  }
}

}  // namespace gsnake::command
