// What a config's steps take on a machine, without running them.
#pragma once

#include <array>
#include <cstdint>

#include "plan/memory_plan.h"
#include "plan/requirements.h"
#include "sim/prediction.h"
#include "sim/profile.h"

namespace gsnake::plan {

struct Forecast {
  schedule::Problem problem;  // as it was simulated
  MemoryPlan memory;          // of a rank; of the config as it would run, but for very large ones, whose memory is told in items alone
  sim::Prediction prediction;
  bool coarse = false;        // the graph that would run is too large to be walked through: objects were moved in larger parts

  [[nodiscard]] double tokens_per_second(const Config& config) const;  // of all ranks together
};

// What a number of micro-batches comes to.
struct BatchPoint {
  std::int64_t micro_batches = 0;  // of all ranks
  double tokens = 0.0;  // a step
  double step_seconds = 0.0;
  std::array<double, schedule::kLaneCount> limit_seconds{};  // as sim::LaneTime

  [[nodiscard]] double tokens_per_second() const { return step_seconds > 0.0 ? tokens / step_seconds : 0.0; }
};

// As the config commits.
sim::PredictionOptions prediction_options(const Config& config, bool timeline = false);

// Whether a step has too many tasks to be simulated as it would run; and the chunks of the objects that are moved instead, at most.
bool is_coarse(const Config& config, const ModelLayout& layout);
std::uint64_t coarse_chunk_elements(const ModelLayout& layout, int ranks = 1);

// Throws Error(budget) where it does not fit, Error(usage) where the profile lacks something. Choices must have been made.
Forecast forecast(const Config& config, const Setting& setting, const sim::MachineProfile& profile, const sim::PredictionOptions& options);

// Of a problem that need not be a config's, with as many slots as let lanes run ahead, whatever they take.
sim::Prediction forecast(const schedule::Problem& problem, const sim::Machine& machine, const sim::PredictionOptions& options);

}  // namespace gsnake::plan
