#include "plan/side_by_side.h"

#include <algorithm>

#include "core/bytes.h"
#include "plan/extrapolation.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

constexpr std::uint64_t kChunksPerObject = 8;  // of these simulations

std::uint64_t chunk_elements_of(const Config& config, const Setting& setting) {
  const std::uint64_t chunks = kChunksPerObject * static_cast<std::uint64_t>(config.ranks.count);
  return core::round_up(core::ceil_div(setting.layout->largest_object(), chunks), schedule::kGrain);
}

// 16-bit weights beside a whole fp32 master, which an update makes them of.
void give_whole_master(schedule::Problem& problem) {
  for (schedule::Object& object : problem.objects) {
    if (!object.trained || object.weight_bytes == sizeof(float)) continue;
    const std::size_t moments = object.state_bytes.size() - (object.master ? 1 : 0);
    object.state_bytes.assign(moments + 1, sizeof(float));
    object.master = object.weights_derived = true;
  }
}

class Comparison {
 public:
  Comparison(const Config& config, const Setting& setting, const sim::MachineProfile& profile)
      : config_(config), machine_(sim::machine_of(profile, workload_of(config, *setting.layout, setting.native))),
        own_(make_problem(config, numerics_of(config), *setting.layout, Purpose::train, setting.one_memory.has_value())) {
    own_.chunk_elements = std::max(kLeastChunk, chunk_elements_of(config, setting));
    tokens_of_all_ = static_cast<double>(tokens_of(config, Purpose::train) * config.ranks.count);
  }

  // Of a delay that the config leaves open, the best, as of the published one.
  Contender own() {
    const bool vertical = own_.schedule == schedule::ScheduleKind::vertical;
    const bool open = config_.train.delay < 0.0 && own_.guard == schedule::Guard::none;
    const Contender made{vertical ? "vertical (this config)" : "horizontal (this config)", open ? "with its best delay, as `gsnake plan` would choose it" : "as `gsnake train` runs it", own_};
    return open ? best_delay(made, {}) : simulated(made, {});
  }

  Contender horizontal() {
    schedule::Problem problem = other();
    problem.schedule = schedule::ScheduleKind::horizontal;
    problem.order = schedule::Order::ascending;
    return simulated({"horizontal", "ZeRO-Infinity's order and data movement: each micro-batch through all units", problem}, {});
  }

  Contender as_published() {
    return best_delay({"GreedySnake as published", "vertical; 30 - 2 x delay bytes a parameter; no state read before the turn; a drain each step", other()}, {true, true});
  }

  Contender fuyou() {
    schedule::Problem problem = other();
    problem.micro_batches = 1;
    problem.activations = {0.0, 0.0};
    return simulated({"Fuyou's way", "one micro-batch a step; activations on SSD; updates beside backward", problem}, {});
  }

 private:
  static constexpr std::uint64_t kLeastChunk = 16 * schedule::kGrain;

  [[nodiscard]] schedule::Problem other() const {
    schedule::Problem problem = own_;
    problem.schedule = schedule::ScheduleKind::vertical;
    problem.order = schedule::Order::ascending;
    problem.guard = schedule::Guard::none;
    problem.delay = 0.0;
    problem.kept = 0.0;
    problem.commits = false;
    problem.update_device = 0.0;
    problem.norms_on_device = false;
    give_whole_master(problem);
    return problem;
  }

  Contender best_delay(const Contender& made, const sim::Rules& rules) const {
    Contender best;
    for (const double delay : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      Contender tried = made;
      tried.problem.delay = delay;
      tried = simulated(std::move(tried), rules);
      if (best.name.empty() || tried.prediction.step() < best.prediction.step()) best = std::move(tried);
    }
    return best;
  }

  Contender simulated(Contender contender, const sim::Rules& rules) const {
    contender.delay = schedule::effective_delay(contender.problem);
    contender.tokens = tokens_of_all_ * contender.problem.micro_batches;
    sim::PredictionOptions options = prediction_options(config_);
    options.rules = rules;
    contender.prediction = forecast(contender.problem, machine_, options);
    return contender;
  }

  const Config& config_;
  const sim::Machine machine_;
  schedule::Problem own_;
  double tokens_of_all_ = 0.0;  // of a micro-batch of each rank
};

}  // namespace

std::vector<Contender> side_by_side(const Config& config, const Setting& setting, const sim::MachineProfile& profile) {
  Comparison comparison(config, setting, profile);
  std::vector<Contender> contenders;
  contenders.push_back(comparison.own());
  contenders.push_back(comparison.horizontal());
  contenders.push_back(comparison.as_published());
  contenders.push_back(comparison.fuyou());
  return contenders;
}

std::vector<BatchPoint> over_micro_batches(const Config& config, const Setting& setting, const sim::MachineProfile& profile, std::int64_t most) {
  std::vector<BatchPoint> points;
  const sim::Machine machine = sim::machine_of(profile, workload_of(config, *setting.layout, setting.native));
  const std::int64_t ranks = config.ranks.count;
  for (std::int64_t micro_batches = ranks;; micro_batches *= 2) {
    Config with = config;
    with.train.micro_batches = micro_batches;
    schedule::Problem problem = make_problem(with, numerics_of(with), *setting.layout, Purpose::train, setting.one_memory.has_value());
    problem.chunk_elements = std::max(problem.chunk_elements, chunk_elements_of(config, setting));
    const sim::Prediction prediction = forecast(problem, machine, prediction_options(config));
    BatchPoint& point = points.emplace_back(BatchPoint{micro_batches, static_cast<double>(micro_batches * tokens_of(config, Purpose::train)), prediction.step()});
    for (std::size_t lane = 0; lane < point.limit_seconds.size(); ++lane) point.limit_seconds[lane] = prediction.lanes[lane].limit;
    if (micro_batches >= most * ranks) return points;
  }
}

}  // namespace gsnake::plan
