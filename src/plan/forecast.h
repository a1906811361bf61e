// What a config's steps take on a machine, without running them.
#pragma once

#include "plan/memory_plan.h"
#include "plan/requirements.h"
#include "sim/prediction.h"
#include "sim/profile.h"

namespace gsnake::plan {

struct Forecast {
  schedule::Problem problem;  // as it was simulated
  MemoryPlan memory;          // of the config as it would run, but for very large ones, whose memory is told in items alone
  sim::Prediction prediction;
  bool coarse = false;        // the graph that would run is too large to be walked through: objects were moved in larger parts

  [[nodiscard]] double tokens_per_second(const Config& config) const;
};

// Whether a step has too many tasks to be simulated as it would run; and the chunks of the objects that are moved instead, at most.
bool is_coarse(const Config& config, const ModelLayout& layout);
std::uint64_t coarse_chunk_elements(const ModelLayout& layout);

// Throws Error(budget) where it does not fit, Error(usage) where the profile lacks something. Choices must have been made.
Forecast forecast(const Config& config, const Setting& setting, const sim::MachineProfile& profile, const sim::PredictionOptions& options);

// Of a problem that need not be a config's, with as many slots as let lanes run ahead, whatever they take.
sim::Prediction forecast(const schedule::Problem& problem, const sim::Machine& machine, const sim::PredictionOptions& options);

}  // namespace gsnake::plan
