// The linear forms of the planner say what the closed formulas say.
#include "plan/planner/forms.h"

#include <gtest/gtest.h>

#include "plan/planner/placement.h"
#include "schedule/support.h"
#include "schedule/traffic.h"
#include "sim/prediction.h"

namespace gsnake::plan {
namespace {

using schedule::Lane;
using schedule::Problem;
using schedule::test::Random;

constexpr double kEighth = 0.125;

// Objects and fractions such that nothing is rounded: an eighth of an eighth of a rank's part is a whole number of grains.
void put_on_the_grid(Problem& p, Random& random) {
  const int ranks = random.one_of<int>({1, 1, 2, 3, 4});
  for (schedule::Object& object : p.objects) {
    const std::uint64_t grains = 64 * static_cast<std::uint64_t>(ranks) * (1 + random.below(3));
    object.elements = grains * schedule::kGrain;
    if (object.packed()) object.packed_bytes = grains * schedule::kPackedGrain;
  }
  schedule::share_out(p, random.between(0, ranks - 1), ranks);
  const auto eighths = [&] { return kEighth * random.between(0, 8); };
  const auto tiers = [&] {
    const double device = eighths();
    return schedule::Fractions{device, std::min(eighths(), 1.0 - device)};
  };
  if (p.guard != schedule::Guard::deferred) p.delay = eighths();
  if (p.guard != schedule::Guard::speculative) {
    p.weights = tiers();
    p.optimizer = tiers();
  }
  p.gradients_host = eighths();
  p.update_device = 0.0;
  p.activations = random.one_of<schedule::Fractions>({{1.0, 0.0}, {0.0, 1.0}, {0.0, 0.0}});
  if (p.activations.device < 1.0) p.kept = 0.0;  // else checkpoints are fetched less often than is told
}

Point point_of(const Problem& p) {
  return {
      p.delay,
      {p.weights.device, p.weights.host, p.optimizer.device, p.optimizer.host, p.activations.device, p.activations.host, p.gradients_host, p.kept}};
}

void expect_the_same(const Problem& p) {
  SCOPED_TRACE(schedule::test::describe(p));
  const schedule::Bytes total = schedule::training_traffic(p).total();
  const StepForms forms = traffic_forms(p, 1.0);
  const auto terms = terms_of(point_of(p));
  for (const Lane lane : {Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer, Lane::collective, Lane::compute}) {
    double sum = 0.0;
    for (const LaneForms& phase : forms) {
      const double bytes = phase[static_cast<std::size_t>(lane)].at(terms);
      EXPECT_GE(bytes, -0.5) << schedule::kLaneNames[static_cast<std::size_t>(lane)];
      sum += bytes;
    }
    EXPECT_NEAR(sum, static_cast<double>(total.on(lane)), 0.5) << schedule::kLaneNames[static_cast<std::size_t>(lane)];
  }
}

TEST(Forms, OfAllPhasesAreTheClosedFormulasTotals) {
  const int runs = schedule::test::sweep(600);
  for (int seed = 0; seed < runs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    Problem p = random.coin() ? schedule::test::random_problem(static_cast<std::uint64_t>(seed))
                              : schedule::test::random_table(static_cast<std::uint64_t>(seed));
    if (!p.trains()) continue;
    put_on_the_grid(p, random);
    expect_the_same(p);
  }
}

// Of activations whose tiers take turns, which are the more often moved is not told: a tenth of all is what it comes to.
TEST(Forms, OfActivationsOnSeveralTiersAreNear) {
  const int runs = schedule::test::sweep(60);
  for (int seed = 0; seed < runs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 1000);
    Problem p = schedule::test::mixed_problem(random.coin() ? schedule::ScheduleKind::vertical : schedule::ScheduleKind::horizontal,
                                              random.between(8, 20), random.between(2, 9));
    p.activations = {kEighth * random.between(0, 4), kEighth * random.between(0, 4)};
    const double formula = static_cast<double>(schedule::training_traffic(p).activations.h2d);
    Problem without = p;
    without.activations = {1.0, 0.0};
    const auto h2d = [](const Problem& of) {
      double sum = 0.0;
      for (const LaneForms& phase : traffic_forms(of, 1.0)) sum += phase[static_cast<std::size_t>(Lane::h2d)].at(terms_of(point_of(of)));
      return sum;
    };
    const double all = static_cast<double>(3 * p.unit_count() * p.micro_batches) * 4096.0;
    EXPECT_NEAR(h2d(p) - h2d(without), formula, 0.1 * all) << schedule::test::describe(p);
  }
}

// No phase is longer than the lanes would take one after another, and no step shorter than its slowest lane takes.
TEST(PhaseLoads, OfPhasesSumToNoLessThanTheSlowestLane) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Problem p = schedule::test::random_problem(seed);
    if (!p.trains()) continue;
    std::array<double, schedule::kLaneCount> rates{};
    rates.fill(1e6);
    const sim::Machine machine = sim::machine_of(rates);
    const PhaseLoads loads = phase_loads(p, machine, 1.0);
    const Point point = point_of(p);
    EXPECT_GE(loads.seconds(point), loads.floor(point) * (1.0 - 1e-12));
    const double reads = static_cast<double>(schedule::training_traffic(p).total().ssd_read) / 1e6;
    EXPECT_GE(loads.floor(point), 0.7 * reads);
  }
}

// What the linear programmes hold of the link is what the simulator does.
TEST(PhaseLoads, OfRanksKnowWhatTheirLinkTakes) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    Problem p = schedule::test::random_problem(seed);
    if (!p.trains()) continue;
    put_on_the_grid(p, random);
    if (p.ranks == 1) continue;
    SCOPED_TRACE(schedule::test::describe(p));
    sim::Machine machine;
    machine.rates[static_cast<std::size_t>(Lane::collective)] = 1e8;
    machine.sent = 0.5;
    machine.adds = 3e8;
    machine.lanes[static_cast<std::size_t>(Lane::collective)].latency = 1e-4;
    const sim::Prediction prediction = sim::predict(schedule::build_program(p, schedule::minimum_pools(p)), machine);
    const double limit = prediction.lanes[static_cast<std::size_t>(Lane::collective)].limit;
    EXPECT_NEAR(phase_loads(p, machine, 1.0).floor(point_of(p)), limit, 1e-3 * limit);
  }
}

}  // namespace
}  // namespace gsnake::plan
