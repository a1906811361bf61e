// The steps of a run, between its opening and its end.
#pragma once

#include <optional>

#include "data/open.h"
#include "dist/rank_group.h"
#include "greedysnake/run.h"
#include "greedysnake/trainer.h"
#include "run/metrics.h"
#include "run/stop_requests.h"

namespace gsnake::run {

// Everything that a run reads. Opened before anything is made, so that a missing file leaves nothing behind.
struct Inputs {
  explicit Inputs(const Config& config) : training(data::open_training(config)) {
    if (config.train.validate_every > 0) validation.emplace(data::open_validation(config));
  }
  data::BatchStream training;
  std::optional<data::Validation> validation;
};

// What a run's last line says of it.
RunOutcome outcome_of(const Json& end);

// Trains to config.train.steps or until it is asked to stop, at whichever rank, and writes what the config asks for. All are borrowed; `group` is null where there is one rank.
RunOutcome train_to_the_end(const Config& config, const RunRequest& request, Inputs& inputs, Trainer& trainer, const StopRequests& stops, dist::RankGroup* group);

}  // namespace gsnake::run
