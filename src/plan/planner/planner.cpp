#include "plan/planner/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "plan/alternatives.h"
#include "plan/planner/planning.h"
#include "plan/problem.h"
#include "plan/run_plan.h"

namespace gsnake::plan {
namespace {

// In tasks that are walked through, of which a core gets through some million a second, building their graphs included.
constexpr Effort kThorough{.answers = 6, .tasks = 500'000.0, .refines = true, .detail = Detail::fine};
constexpr Effort kQuick{.answers = 2, .tasks = 0.0, .refines = false, .detail = Detail::rough};
constexpr Effort kSomewhat{.answers = 3, .tasks = 0.0, .refines = false, .detail = Detail::rough};
constexpr double kWorthItsRounding = 0.10;  // what bf16 moments must gain of throughput, or of wear where that is the goal

// Of whole MiB.
std::string text_of(std::uint64_t budget) { return fmt::format("{} MiB", budget >> 20); }

class Planner {
 public:
  // Of several ranks, the first owns the largest part of each object.
  explicit Planner(const PlannerInput& input) : input_(input), planning_(input), config_(input.config) {
    config_.ranks.rank = config_.ranks.local_rank = 0;
    // What nobody has measured, as on another machine, is not to be chosen.
    if (config_.placement.kept.automatic && input.setting.peaks.kept.empty()) config_.placement.kept = {};
  }

  Plan run() {
    const bool chooses_moments = config_.optimizer.moments == MomentFormat::automatic;
    if (chooses_moments) config_.optimizer.moments = MomentFormat::fp32;
    std::vector<Point> known;
    if (config_.train.micro_batches < 0) known = choose_micro_batches();
    std::optional<Found> found = planning_.search(config_, planning_.grounds(), kThorough, known);
    if (!found) refuse_all();
    if (chooses_moments) found = choose_moments(std::move(*found));
    config_.placement.update = found->config.placement.update;
    Plan plan = verified(*found);
    plan.choices = choices(plan.config);
    if (input_.advises) advise(plan, *found);
    plan.considered = planning_.simulations();
    plan.simulated_tasks = planning_.tasks();
    plan.config.ranks = input_.config.ranks;
    return plan;
  }

 private:
  std::vector<Point> choose_micro_batches() {
    const std::int64_t ranks = config_.ranks.count;
    if (input_.tokens_a_step > 0) {
      const std::int64_t each = ranks * tokens_of(config_, Purpose::train);
      config_.train.micro_batches = ranks * std::max<std::int64_t>(1, (input_.tokens_a_step + each - 1) / each);
      return {};
    }
    const std::vector<Batched> plans = plans_by_batch(planning_, config_, kSomewhat, {});
    config_.train.micro_batches = ranks;
    if (plans.empty()) return {};
    for (const Batched& each : plans) batches_.push_back(batch_point(each.found.config, each.found.estimate));
    const std::size_t enough = saturation(batches_);
    config_.train.micro_batches = batches_[enough].micro_batches;
    return {plans[enough].found.point};
  }

  Found choose_moments(Found exact) {
    Config rounded = config_;
    rounded.optimizer.moments = MomentFormat::bf16;
    std::optional<Found> found = planning_.search(rounded, planning_.grounds(), kThorough, {exact.point});
    const auto what = input_.goal == Goal::least_wear ? &Estimate::written : &Estimate::step_seconds;
    if (!found || exact.estimate.*what <= (1.0 + kWorthItsRounding) * found->estimate.*what) return exact;
    config_ = rounded;
    return std::move(*found);
  }

  [[noreturn]] void refuse_all() {
    const Space space(config_, input_.setting.one_memory.has_value());
    Config config = space.with(space.leanest(space.delays().front()));
    const Grounds grounds = planning_.grounds();
    config.memory = grounds.budgets.most();
    const Estimator estimator(input_.setting, grounds.profile, grounds.budgets, Detail::fine);
    config.memory = grounds.budgets.of(estimator.needs(config).least);
    refuse(config, input_.setting);
  }

  // Of a plan that was found by a part of its units: whatever it lacks at full size is taken from what is placed.
  Plan verified(const Found& found) {
    Plan plan;
    plan.config = found.config;
    share_memory(plan.config);
    const Space space(config_, input_.setting.one_memory.has_value());
    Point point = found.point;
    for (int tries = 0; !fits(plan.config) && tries < kTries; ++tries) {
      for (std::size_t f = 0; f < kFractions; ++f) {
        if (space.is_free(f)) point.fractions[f] = std::max(0.0, point.fractions[f] - 0.01 * (1 << tries));
      }
      plan.config = space.with(space.rounded(point));
      plan.config.memory = found.config.memory;
      share_memory(plan.config);
    }
    if (!fits(plan.config)) refuse(plan.config, input_.setting);
    plan.forecast = forecast(plan.config, input_.setting, input_.profile, prediction_options(plan.config));
    return plan;
  }

  // Of one memory for both, the device has no less than it needs at full size.
  void share_memory(Config& config) const {
    const Budgets budgets = planning_.grounds().budgets;
    const auto items = budgets.together() ? exact_requirements(config, input_.setting) : std::nullopt;
    if (!items || bytes_of(*items, "device") <= config.memory.device_budget) return;
    config.memory = budgets.of({0.0, static_cast<double>(bytes_of(*items, "device"))});
  }

  [[nodiscard]] bool fits(const Config& config) const {
    const auto items = exact_requirements(config, input_.setting);
    if (!items) return overshoot(config, input_.setting) <= 0.0;
    return bytes_of(*items, "host") <= config.memory.host_budget && bytes_of(*items, "device") <= config.memory.device_budget;
  }

  [[nodiscard]] std::vector<Choice> choices(const Config& made) const {
    const Config& asked = input_.config;
    std::vector<Choice> all;
    if (asked.train.micro_batches < 0) all.push_back({"train.micro_batches", fmt::format("{}", made.train.micro_batches), true});
    if (asked.optimizer.moments == MomentFormat::automatic) {
      all.push_back({"optimizer.moments", word_of(made.optimizer.moments), made.optimizer.moments != MomentFormat::fp32});
    }
    if (asked.train.delay < 0.0 && made.train.delay >= 0.0) all.push_back({"train.delay", fmt::format("{}", made.train.delay)});
    for (std::size_t f = 0; f < kFractions; ++f) {
      if ((asked.placement.*kFractionPlaces[f].tiers).automatic) all.push_back({kFractionKeys[f], fmt::format("{}", kFractionPlaces[f].of(made.placement))});
    }
    if (asked.placement.update.automatic && asked.memory.device != "cpu") all.push_back({"placement.update.device", fmt::format("{}", made.placement.update.device)});
    if (asked.memory.device_budget == kAutomaticBytes) all.push_back({"memory.device_budget", text_of(made.memory.device_budget)});
    if (asked.memory.host_budget == kAutomaticBytes) all.push_back({"memory.host_budget", text_of(made.memory.host_budget)});
    return all;
  }

  void advise(Plan& plan, const Found& found) {
    plan.purchases = purchases(planning_, config_, found);
    if (batches_.empty()) {
      for (const Batched& each : plans_by_batch(planning_, config_, kQuick, {found.point}))
        batches_.push_back(batch_point(each.found.config, each.found.estimate));
    }
    plan.batches = batches_;
    const std::size_t enough = saturation(batches_);  // among estimates of one kind
    for (BatchPoint& point : plan.batches) {
      if (point.micro_batches == config_.train.micro_batches) point = batch_point(config_, found.estimate);
    }
    if (enough + 1 < plan.batches.size()) plan.saturation = plan.batches[enough];
  }

  static constexpr int kTries = 7;

  const PlannerInput& input_;
  Planning planning_;
  Config config_;                    // with micro-batches and moments, once they are chosen
  std::vector<BatchPoint> batches_;  // where micro-batches were chosen by them
};

}  // namespace

std::optional<Found> Planning::search(const Config& config, const Grounds& grounds, const Effort& effort, const std::vector<Point>& known) {
  Estimator estimator(input_.setting, grounds.profile, grounds.budgets, effort.detail);
  const Space space(config, input_.setting.one_memory.has_value());
  std::optional<Found> found = Search(input_.setting, grounds.profile, space, estimator, needs_, input_.goal).run(effort, known);
  simulations_ += estimator.simulations();
  tasks_ += estimator.tasks();
  return found;
}

Search::Promise Planning::promise(const Config& config, const Grounds& grounds, const Point& known) {
  Estimator estimator(input_.setting, grounds.profile, grounds.budgets, Detail::rough);
  const Space space(config, input_.setting.one_memory.has_value());
  return Search(input_.setting, grounds.profile, space, estimator, needs_, input_.goal).promise(known);
}

Plan make_plan(const PlannerInput& input) { return Planner(input).run(); }

}  // namespace gsnake::plan
