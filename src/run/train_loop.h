// The steps of a run, between its opening and its end.
#pragma once

#include <optional>

#include "dist/rank_group.h"
#include "greedysnake/run.h"
#include "greedysnake/trainer.h"
#include "run/metrics.h"
#include "run/run_data.h"
#include "run/stop_requests.h"

namespace gsnake::run {

// What a run's last line says of it.
RunOutcome outcome_of(const Json& end);

// Trains to config.train.steps or until it is asked to stop, at whichever rank, and writes what the config asks for. All are borrowed; `group` is null where there is one rank.
RunOutcome train_to_the_end(const Config& config, const RunRequest& request, RunData& data, Trainer& trainer, const StopRequests& stops, dist::RankGroup* group);

}  // namespace gsnake::run
