#include "plan/planner/search.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "plan/numerics.h"
#include "plan/problem.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

constexpr double kBetter = 5e-4;  // of a price, that a step must gain
// Of the best price, at most: what answers are modelled at that are simulated beside a point that was known.
constexpr double kPromising = 0.98;
// Of what no plan can be below: as good as that is good enough.
constexpr double kGood = 1.01;
// Of what slots beyond the fewest could use, this is left to them. In a model of so many units they cover little of it: there lanes hardly
// run ahead from one phase to the next.
constexpr std::array kAhead{1.0, 0.0, 0.5};
constexpr std::array kAheadInLarge{0.0, 1.0, 0.5};
constexpr std::size_t kFewLists = 2;  // of these, where about the best is known
constexpr double kNear = 0.13;
constexpr std::size_t kStarts = 3;
constexpr double kMostOfAStep = 0.7;
constexpr double kWorthLess = 0.005;  // of a price, that a smaller budget must gain
constexpr double kCuts = 4.0;
constexpr double kElsewhere = 0.3;          // by the sum of what differs
constexpr std::size_t kDelay = kFractions;  // what a step may move beside fractions
constexpr std::size_t kNobody = kFractions + 1;

double distance(const Point& a, const Point& b) {
  double sum = std::abs(a.delay - b.delay);
  for (std::size_t f = 0; f < kFractions; ++f) sum += std::abs(a.fractions[f] - b.fractions[f]);
  return sum;
}

}  // namespace

Search::Search(const Setting& setting, const sim::MachineProfile& profile, const Space& space, Estimator& estimator, KnownNeeds& needs,
               Goal goal)
    : setting_(setting),
      profile_(profile),
      space_(space),
      estimator_(estimator),
      needs_(needs),
      is_large_(setting.layout->units.size() > kLargeModel) {
  const Point lean = space.leanest(space.delays().front());
  price_.goal = goal;
  const Model& model = model_of(lean.delay);
  price_.seconds = std::max(1e-9, model.loads.seconds(lean));
  price_.bytes = std::max(1.0, model.loads.written.at(terms_of(lean)));
}

Search::Model& Search::model_of(double delay) {
  const auto known = models_.find(delay);
  if (known != models_.end()) return known->second;
  const Config config = space_.with(space_.leanest(delay));
  schedule::Problem problem = make_problem(config, numerics_of(config), *setting_.layout, Purpose::train, setting_.one_memory.has_value());
  problem.delay = delay;
  const sim::Machine machine = sim::machine_of(profile_, workload_of(config, *setting_.layout, setting_.native));
  Model& model = models_[delay];
  model.loads = phase_loads(problem, machine, static_cast<double>(config.run.commit_every));
  Config keeps_all = config;
  keeps_all.placement.kept = {1.0, 0.0, false};
  model.memory = memory_forms(problem, static_cast<double>(overheads_of(keeps_all, setting_).kept_activations));
  return model;
}

// Between none and all of it, the delay makes no difference that answers would not be corrected for.
const RunNeeds& Search::needs_beside_placement(double delay) {
  const double at = delay <= 0.0 || delay >= 1.0 ? delay : 0.5;
  const Point lean = space_.leanest(at);
  const TrainConfig& train = space_.config().train;
  const auto [place, is_new] = needs_.try_emplace({train.micro_batches, space_.config().optimizer.moments, at});
  if (!is_new) return place->second;
  Config config = space_.with(lean);
  config.memory = estimator_.budgets().most();
  RunNeeds& needs = place->second = estimator_.needs(config);
  const Model& model = model_of(at);
  needs.least.host -= model.memory.host.at(terms_of(lean));
  needs.least.device -= model.memory.device.at(terms_of(lean));
  return needs;
}

Room Search::room_at(double delay, double ahead) {
  const RunNeeds& needs = needs_beside_placement(delay);
  const Needs taken{needs.least.host + ahead * needs.ahead.host, needs.least.device + ahead * needs.ahead.device};
  const MemoryConfig memory = estimator_.budgets().most();
  const double host = static_cast<double>(memory.host_budget) - taken.host;
  const double device = static_cast<double>(memory.device_budget) - taken.device;
  if (estimator_.budgets().together()) return {host - taken.device, 0.0, true};
  return {host, device, false};
}

PlacementProgramme Search::programme_at(double delay) {
  const Model& model = model_of(delay);
  return {space_, model.loads, model.memory, price_, is_large_ ? 0.0 : 0.5};
}

double Search::modelled(const Point& point) { return programme_at(point.delay).modelled(point); }

double Search::floor(const Point& point) { return model_of(point.delay).loads.floor(point); }

void Search::add_answers(double delay, std::size_t lists) {
  answers_.resize(lists);
  for (std::size_t i = 0; i < lists; ++i) {
    const double ahead = (is_large_ ? kAheadInLarge : kAhead)[i];
    const Spare spare = ahead > 0.0 ? Spare::lanes : Spare::memory;
    for (const Placed& placed : programme_at(delay).solve(delay, room_at(delay, ahead), spare)) {
      answers_[i].push_back(placed);
      least_ = std::min(least_, price_.of(floor(placed.point), model_of(delay).loads.written.at(terms_of(placed.point))));
    }
  }
}

const Estimate& Search::estimate_of(const Point& point) {
  const auto seen = seen_.find(point);
  if (seen != seen_.end()) return seen->second;
  return seen_[point] = estimator_.estimate(space_.with(point));
}

// What is written is not told exactly by forms: for least wear there is no such bound.
bool Search::is_good() const { return best_ && price_.goal == Goal::throughput && best_->price <= kGood * least_; }

bool Search::consider(const Point& point) {
  if (best_ && price_.goal == Goal::throughput && price_.of(floor(point), 0.0) > best_->price) return false;
  const Estimate& estimate = estimate_of(point);
  if (!estimate.fits()) return false;
  const double price = price_.of(estimate.step_seconds, estimate.written);
  if (best_ && price >= best_->price * (1.0 - kBetter)) return false;
  best_ = {point, space_.with(point), estimate, price};
  best_->config.memory = estimate.memory;
  return true;
}

// With less of what takes memory that is not there: of `giving`, or of everything alike.
Point Search::shrunk(const Point& point, const Needs& excess, std::size_t giving) {
  const MemoryForms& memory = model_of(point.delay).memory;
  const auto slope = [&](std::size_t f) { return (is_on_device(f) ? memory.device : memory.host).factors()[term_of(f)]; };
  const bool together = estimator_.budgets().together();
  const double all = excess.host + excess.device;
  Point smaller = point;
  const auto give = [&](std::size_t f, double bytes) {
    if (space_.is_free(f) && slope(f) > 0.0) smaller.fractions[f] = std::max(0.0, smaller.fractions[f] - bytes / slope(f));
  };
  if (giving < kFractions) {
    give(giving, together ? all : is_on_device(giving) ? excess.device : excess.host);
    return space_.rounded(smaller);
  }
  for (const bool device : {false, true}) {
    double placed = 0.0;
    const auto takes = [&](std::size_t f) {
      return space_.is_free(f) && (together || is_on_device(f) == device) ? slope(f) * point.fractions[f] : 0.0;
    };
    for (std::size_t f = 0; f < kFractions; ++f) placed += takes(f);
    const double wanted = together ? (device ? 0.0 : all) : device ? excess.device : excess.host;
    if (placed <= 0.0 || wanted <= 0.0) continue;
    for (std::size_t f = 0; f < kFractions; ++f) give(f, wanted * takes(f) / placed);
  }
  return space_.rounded(smaller);
}

// The best of each list, then the second best.. An answer that does not fit, for want of slots that it did not know of, gives way until it
// does.
void Search::simulate_answers(int most, bool only_promising) {
  std::size_t longest = 0;
  for (std::vector<Placed>& list : answers_) {
    std::stable_sort(list.begin(), list.end(), [](const Placed& a, const Placed& b) { return a.price < b.price; });
    longest = std::max(longest, list.size());
  }
  int simulated = 0;
  for (std::size_t i = 0; i < longest; ++i) {
    for (const std::vector<Placed>& list : answers_) {
      if (simulated >= most || is_good()) return;
      if (i >= list.size() || seen_.count(list[i].point) > 0 || (only_promising && list[i].price > best_->price * kPromising)) continue;
      consider_smaller(list[i].point);
      ++simulated;
    }
  }
}

void Search::consider_smaller(Point point) {
  constexpr int kCorrections = 4;
  for (int correction = 0; correction < kCorrections; ++correction) {
    const Estimate& estimate = estimate_of(point);
    if (estimate.fits()) break;
    point = shrunk(point, estimate.excess, kNobody);
  }
  consider(point);
}

bool Search::consider_with_room(const Point& point, std::size_t moved) {
  if (price_.goal == Goal::throughput && price_.of(floor(point), 0.0) > best_->price) return false;
  const Estimate estimate = estimate_of(point);
  if (estimate.fits()) return consider(point);
  for (std::size_t giving = 0; giving < kFractions; ++giving) {
    const bool same_memory = estimator_.budgets().together() || is_on_device(giving) == (estimate.excess.device > 0.0);
    if (giving == moved || !space_.is_free(giving) || point.fractions[giving] <= 0.0 || !same_memory) continue;
    if (consider(shrunk(point, estimate.excess, giving))) return true;
  }
  return false;
}

bool Search::step_in(std::size_t fraction, double step) {
  if (!space_.is_free(fraction)) return false;
  Point point = best_->point;
  double& value = point.fractions[fraction];
  value = std::clamp(value + step, 0.0, 1.0);
  const std::size_t other = sibling(fraction);
  if (other < kFractions && value + point.fractions[other] > 1.0) {
    if (!space_.is_free(other)) return false;
    point.fractions[other] = 1.0 - value;
  }
  point = space_.rounded(point);
  return point != best_->point && consider_with_room(point, fraction);
}

bool Search::step_delay(double step) {
  if (!space_.chooses_delay()) return false;
  Point point = best_->point;
  point.delay = std::clamp(point.delay + step, 0.0, 1.0);
  return point.delay != best_->point.delay && consider_with_room(point, kDelay);
}

// One round over everything that may be moved.
bool Search::improve(double step) {
  bool better = false;
  for (std::size_t moved = 0; moved <= kDelay; ++moved) {
    for (const double signed_step : {step, -step}) {
      while (!is_good() && estimator_.tasks() < most_tasks_ && (moved == kDelay ? step_delay(signed_step) : step_in(moved, signed_step)))
        better = true;
    }
  }
  return better;
}

std::vector<double> Search::delays_near(const std::vector<Point>& known) const {
  std::vector<double> delays = space_.delays();
  if (known.empty()) return delays;
  const auto is_far = [&](double delay) {
    return delay > 0.0 && delay < 1.0 &&
           std::none_of(known.begin(), known.end(), [&](const Point& point) { return std::abs(point.delay - delay) < kNear; });
  };
  delays.erase(std::remove_if(delays.begin(), delays.end(), is_far), delays.end());
  return delays;
}

Search::Promise Search::promise(const Point& known) {
  for (const double delay : delays_near({known})) add_answers(delay, kFewLists);
  const auto seconds = [&](const Point& point) {
    const PlacementProgramme programme = programme_at(point.delay);
    return (1.0 - programme.overlap) * programme.loads.seconds(point) + programme.overlap * programme.loads.floor(point);
  };
  Promise promise;
  promise.known = promise.best = seconds(space_.rounded(known));
  for (const std::vector<Placed>& list : answers_) {
    for (const Placed& answer : list) promise.best = std::min(promise.best, seconds(answer.point));
  }
  return promise;
}

std::optional<Found> Search::run(const Effort& effort, const std::vector<Point>& known) {
  most_tasks_ = estimator_.tasks() + effort.tasks;
  for (const Point& point : known) {
    consider_smaller(space_.rounded(point));
  }
  if (effort.refines) {
    for (const double delay : space_.delays()) add_answers(delay, kAhead.size());
  } else {
    for (const double delay : delays_near(known)) add_answers(delay, kFewLists);
  }
  // Small models take little to simulate, and their few chunks make more of a difference.
  const int answers = effort.refines && !is_large_ ? 3 * effort.answers : effort.answers;
  simulate_answers(answers, best_ && !effort.refines);
  if (!best_) {
    for (const double delay : space_.delays()) consider(space_.leanest(delay));
  }
  if (best_ && effort.refines) refine();
  return best_;
}

// Each cut through an object makes transfers smaller and more: in small models, those that fall together are worth trying.
Point Search::snapped(Point point) const {
  for (double& value : point.fractions) value = std::round(value * kCuts) / kCuts;
  point.delay = std::round(point.delay * kCuts) / kCuts;
  for (std::size_t f = 0; f < kFractions; ++f) {
    if (sibling(f) < f) point.fractions[f] = std::min(point.fractions[f], 1.0 - point.fractions[sibling(f)]);
  }
  return space_.rounded(point);
}

// From the best point, and from others that are nearly as good and elsewhere: each leads to a best of its own.
void Search::refine() {
  if (!is_large_ && !is_good()) consider_smaller(snapped(best_->point));
  std::vector<Found> starts = starts_of(seen_);
  std::optional<Found> best;
  for (Found& start : starts) {
    best_ = std::move(start);
    for (const double step : {0.5, 0.25, 0.125, 0.0625, 0.03125}) {
      while (improve(step)) {
      }
    }
    if (!best || best_->price < best->price) best = best_;
    if (is_good()) break;
  }
  best_ = std::move(best);
  if (space_.chooses_updates()) share_updates();
  leave_slots_out();
}

// Once all else is chosen: who updates decides little about what is kept where. It matters where updates, or what they move, take most of a step.
void Search::share_updates() {
  const auto& limits = best_->estimate.limits;
  const auto limit = [&](schedule::Lane lane) { return limits[static_cast<std::size_t>(lane)]; };
  const double longest = std::max({limit(schedule::Lane::optimizer), limit(schedule::Lane::h2d), limit(schedule::Lane::d2h)});
  if (longest < kMostOfAStep * best_->estimate.step_seconds) return;
  for (const double device : {1.0, 0.5, 0.75, 0.25}) {
    if (is_large_ && device != 1.0 && device != 0.5) continue;
    Config config = best_->config;
    config.placement.update.device = device;
    const Estimate estimate = estimator_.estimate(config);
    const double price = price_.of(estimate.step_seconds, estimate.written);
    if (!estimate.fits() || price >= best_->price * (1.0 - kBetter)) continue;
    config.memory = estimate.memory;
    best_->config = std::move(config);
    best_->estimate = estimate;
    best_->price = price;
  }
}

// Lanes that run further ahead may get in the way of those that others wait for. Of a budget that is ours to choose, they need not have
// all.
void Search::leave_slots_out() {
  if (is_good() || !estimator_.budgets().chooses_host()) return;
  for (const int eighths : {4, 2, 0}) {
    const Estimate estimate = estimator_.estimate(best_->config, eighths);
    const double price = price_.of(estimate.step_seconds, estimate.written);
    if (!estimate.fits() || price >= best_->price * (1.0 - kWorthLess)) continue;
    best_->estimate = estimate;
    best_->price = price;
    best_->config.memory = estimate.memory;
  }
}

std::vector<Found> Search::starts_of(const std::map<Point, Estimate>& seen) const {
  std::vector<Found> all;
  for (const auto& [point, estimate] : seen) {
    if (!estimate.fits()) continue;
    all.push_back({point, space_.with(point), estimate, price_.of(estimate.step_seconds, estimate.written)});
    all.back().config.memory = estimate.memory;
  }
  std::stable_sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.price < b.price; });
  std::vector<Found> starts;
  for (Found& each : all) {
    const bool is_elsewhere =
        std::none_of(starts.begin(), starts.end(), [&](const Found& start) { return distance(start.point, each.point) < kElsewhere; });
    if (is_elsewhere && starts.size() < kStarts) starts.push_back(std::move(each));
  }
  return starts;
}

}  // namespace gsnake::plan
