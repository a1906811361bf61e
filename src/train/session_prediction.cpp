#include "train/session_prediction.h"

#include "core/log.h"
#include "greedysnake/error.h"
#include "plan/forecast.h"
#include "plan/workload.h"

namespace gsnake::train {

Prediction prediction_of(const Session& session, const sim::MachineProfile& profile) {
  Prediction told;
  try {
    const sim::Machine machine = sim::machine_of(profile, plan::workload_of(session.config, session.layout, session.setting.native));
    const sim::Prediction prediction = sim::predict(session.program, machine, plan::prediction_options(session.config));
    told.machine = profile.name.empty() ? "a machine without a name" : profile.name;
    for (const double seconds : prediction.step_seconds) told.step_ms.push_back(1e3 * seconds);
    for (std::size_t lane = 0; lane < prediction.lanes.size(); ++lane) {
      told.busy_ms[lane] = 1e3 * prediction.lanes[lane].busy;
      told.limit_ms[lane] = 1e3 * prediction.lanes[lane].limit;
    }
  } catch (const Error& error) {
    spdlog::warn("steps are not predicted: {}", error.what());
    return {};
  }
  return told;
}

}  // namespace gsnake::train
