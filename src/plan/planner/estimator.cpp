#include "plan/planner/estimator.h"

#include <algorithm>
#include <cmath>

#include "plan/alternatives.h"
#include "plan/extrapolation.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/reduction.h"
#include "plan/workload.h"
#include "schedule/footprint.h"

namespace gsnake::plan {
namespace {

// Units of each shape in the smaller model, of which the larger one has twice as many; and units of models that are simulated as they are.
struct Sizes {
  std::size_t few;
  std::size_t whole;
};
constexpr Sizes kRough{8, 24};
constexpr Sizes kFine{24, 104};

constexpr std::size_t kUnsteadySteps = 4;

Needs needs_of(const std::vector<MemoryItem>& items) {
  return {static_cast<double>(bytes_of(items, "host")), static_cast<double>(bytes_of(items, "device"))};
}

void add(Needs& sum, double weight, const Needs& needs) {
  sum.host += weight * needs.host;
  sum.device += weight * needs.device;
}

// Of slots, beyond the fewest.
Needs bytes_between(const schedule::Map& map, const schedule::PoolSizes& fewest, const schedule::PoolSizes& sizes) {
  Needs bytes;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const schedule::Pool& pool = map.pools[i];
    const auto slot = static_cast<double>(schedule::allocated_bytes({pool.space, pool.bytes, -1, {}}));
    (pool.space == schedule::Space::host ? bytes.host : bytes.device) += slot * (sizes[i] - fewest[i]);
  }
  return bytes;
}

}  // namespace

struct Estimator::Sample {
  double weight = 1.0;
  const ModelLayout* layout = nullptr;
  schedule::Problem problem;
  schedule::PoolSizes fewest;
  schedule::Program program;  // with these; of a coarse one, whose memory isn't told, its map alone
  [[nodiscard]] schedule::PoolSizes most() const { return generous_pools(program.map, fewest); }
};

Estimator::Estimator(const Setting& setting, const sim::MachineProfile& profile, const Budgets& budgets, Detail detail)
    : setting_(setting),
      profile_(profile),
      budgets_(budgets),
      parts_(parts_of(*setting.layout, detail)),
      rough_(parts_of(*setting.layout, Detail::rough)) {}

std::vector<Estimator::Part> Estimator::parts_of(const ModelLayout& layout, Detail detail) {
  const Sizes sizes = detail == Detail::fine ? kFine : kRough;
  std::vector<Part> parts;
  if (layout.units.size() <= sizes.whole) return {Part{}};
  const Counts counts = counts_of(layout);
  Counts few = counts;
  for (std::size_t& count : few) count = std::min(count, sizes.few);
  double of_few = 1.0;
  for (std::size_t shape = 0; shape < counts.size(); ++shape) {
    if (counts[shape] == few[shape]) continue;
    Counts more = few;
    more[shape] = std::min(counts[shape], 2 * sizes.few);
    const double weight = static_cast<double>(counts[shape] - few[shape]) / static_cast<double>(more[shape] - few[shape]);
    parts.push_back({weight, reduced(layout, more)});
    of_few -= weight;
  }
  parts.push_back({of_few, reduced(layout, few)});
  return parts;
}

Estimator::Sample Estimator::sample_of(const Config& config, const Part& part, bool coarse) const {
  Sample sample;
  sample.weight = part.weight;
  sample.layout = part.layout ? &*part.layout : setting_.layout;
  sample.problem = make_problem(config, numerics_of(config), *sample.layout, Purpose::train, setting_.one_memory.has_value());
  if (coarse) sample.problem.chunk_elements = coarse_chunk_elements(*setting_.layout, config.ranks.count);
  sample.fewest = schedule::minimum_pools(sample.problem);
  if (coarse) {
    sample.program.map = schedule::make_map(sample.problem, sample.fewest);
  } else {
    sample.program = schedule::build_program(sample.problem, sample.fewest);
  }
  return sample;
}

RunNeeds Estimator::needs(const Config& config) const {
  if (is_coarse(config, *setting_.layout)) {  // and simulated with all slots
    const Needs least = needs_of(requirements(config, setting_));
    const double doubt = is_extrapolated(config, setting_) ? kMostOfExtrapolated : 1.0;
    return {{least.host * doubt, least.device * doubt}, {}};
  }
  RunNeeds needs;
  const Overheads overheads = overheads_of(config, setting_);
  for (const Part& part : rough_) {
    const Sample sample = sample_of(config, part, false);
    add(needs.least, part.weight, needs_of(memory_items(sample.problem, sample.fewest, overheads, sample.program)));
    needs.ahead = bytes_between(sample.program.map, sample.fewest, sample.most());
  }
  return needs;
}

Estimate Estimator::estimate(const Config& asked, int most_eighths) {
  if (setting_.told) setting_.told();
  Config config = asked;
  config.memory = budgets_.most();
  const bool coarse = is_coarse(config, *setting_.layout);
  std::vector<Sample> samples;
  Needs needs = coarse ? this->needs(config).least : Needs();
  for (const Part& part : parts_) {
    Sample& sample = samples.emplace_back(sample_of(config, part, coarse));
    if (!coarse)
      add(needs, part.weight, needs_of(memory_items(sample.problem, sample.fewest, overheads_of(config, setting_), sample.program)));
  }
  Estimate estimate;
  estimate.excess = budgets_.excess(needs);
  if (!estimate.fits()) return estimate;
  int eighths = most_eighths;
  Needs all = needs;
  if (!coarse) {
    const Sample& largest = samples.front();
    const auto with = [&](int parts) {
      Needs more = needs;
      add(more, 1.0, bytes_between(largest.program.map, largest.fewest, pools_between(largest.fewest, largest.most(), parts)));
      return more;
    };
    const auto fits = [&](const Needs& more) { return budgets_.excess(more).host <= 0.0 && budgets_.excess(more).device <= 0.0; };
    while (eighths > 0 && !fits(with(eighths))) --eighths;
    all = with(eighths);
  }
  estimate.memory = most_eighths < kEighths ? budgets_.just(all) : budgets_.of(all);
  simulate(estimate, config, samples, eighths);
  return estimate;
}

void Estimator::simulate(Estimate& estimate, const Config& config, const std::vector<Sample>& samples, int eighths) {
  ++simulations_;
  for (const Sample& sample : samples) {
    const sim::Machine machine = sim::machine_of(profile_, workload_of(config, *sample.layout, setting_.native));
    const schedule::PoolSizes pools = pools_between(sample.fewest, sample.most(), eighths);
    sim::PredictionOptions options = prediction_options(config);
    options.tasks_walked = kTasksWalked;
    const bool is_built = pools == sample.fewest && !sample.program.graph(schedule::Variant::train_first).tasks.empty();
    const schedule::Program built = is_built ? schedule::Program() : schedule::build_training_program(sample.problem, pools);
    const schedule::Program& program = is_built ? sample.program : built;
    const sim::Prediction prediction = sim::predict(program, machine, options);
    estimate.step_seconds += sample.weight * prediction.step();
    estimate.written += sample.weight * static_cast<double>(prediction.ssd_write_bytes);
    for (std::size_t lane = 0; lane < estimate.limits.size(); ++lane) estimate.limits[lane] += sample.weight * prediction.lanes[lane].limit;
    const std::size_t tasks = program.graph(schedule::Variant::train_first).tasks.size();
    tasks_ += prediction.walks * static_cast<double>(tasks * (kUnsteadySteps + std::clamp<std::size_t>(kTasksWalked / tasks, 2, 16)));
  }
  estimate.step_seconds = std::max(estimate.step_seconds, 1e-12);
}

}  // namespace gsnake::plan
