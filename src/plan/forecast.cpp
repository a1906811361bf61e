#include "plan/forecast.h"

#include <algorithm>

#include "core/bytes.h"
#include "plan/extrapolation.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/run_plan.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

constexpr double kMostTasks = 150'000;         // of a step that is simulated as it would run
constexpr std::uint64_t kCoarseChunks = 12;  // an object, of one that is not

}  // namespace

bool is_coarse(const Config& config, const ModelLayout& layout) { return about_tasks(config, layout, Purpose::train) > kMostTasks; }

std::uint64_t coarse_chunk_elements(const ModelLayout& layout, int ranks) {
  const std::uint64_t chunks = kCoarseChunks * static_cast<std::uint64_t>(ranks);
  return std::max(chunk_elements(layout, ranks), core::round_up(core::ceil_div(layout.largest_object(), chunks), schedule::kGrain));
}

double Forecast::tokens_per_second(const Config& config) const {
  const double tokens = static_cast<double>(config.train.micro_batches) * static_cast<double>(tokens_of(config, Purpose::train));
  return prediction.step() > 0.0 ? tokens / prediction.step() : 0.0;
}

sim::PredictionOptions prediction_options(const Config& config, bool timeline) {
  sim::PredictionOptions options;
  options.commit_every = static_cast<int>(config.run.commit_every);
  options.timeline = timeline;
  return options;
}

Forecast forecast(const Config& config, const Setting& setting, const sim::MachineProfile& profile, const sim::PredictionOptions& options) {
  Forecast forecast;
  const ModelLayout& layout = *setting.layout;
  forecast.problem = make_problem(config, numerics_of(config), layout, Purpose::train);
  const sim::Machine machine = sim::machine_of(profile, workload_of(config, layout, setting.native));
  forecast.coarse = is_coarse(config, layout);
  if (!forecast.coarse) {
    forecast.memory = plan_run(config, setting, forecast.problem);
    forecast.prediction = sim::predict(schedule::build_training_program(forecast.problem, forecast.memory.pools), machine, options);
    return forecast;
  }
  forecast.memory.items = refuse_what_does_not_fit(config, setting);
  forecast.memory.host_bytes = bytes_of(forecast.memory.items, "host");
  forecast.memory.device_bytes = bytes_of(forecast.memory.items, "device");
  forecast.problem.chunk_elements = coarse_chunk_elements(layout, config.ranks.count);
  forecast.prediction = plan::forecast(forecast.problem, machine, options);
  return forecast;
}

sim::Prediction forecast(const schedule::Problem& problem, const sim::Machine& machine, const sim::PredictionOptions& options) {
  return sim::predict(schedule::build_training_program(problem, generous_pools(problem)), machine, options);
}

}  // namespace gsnake::plan
