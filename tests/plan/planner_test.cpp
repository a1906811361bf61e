// What the planner makes of configs that leave choices open: it fits, it is nearly as fast as the best of a grid, and it keeps what was
// said.
#include "plan/planner/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <limits>

#include "greedysnake/error.h"
#include "plan/machines.h"
#include "plan/planner/estimator.h"
#include "plan/planner/space.h"

namespace gsnake::plan {
namespace {

using schedule::test::Random;
using test::Case;
using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

void expect_it_fits(const Plan& plan, const PlannerInput& input) {
  EXPECT_FALSE(plan.config.leaves_choices());
  const auto items = exact_requirements(plan.config, input.setting).value();
  EXPECT_LE(bytes_of(items, "host"), plan.config.memory.host_budget);
  EXPECT_LE(bytes_of(items, "device"), plan.config.memory.device_budget);
  const bool one_memory = plan.config.memory.device == "cpu";
  if (input.config.memory.host_budget == kAutomaticBytes) {
    EXPECT_LE(plan.config.memory.host_budget, input.free_host_bytes);
  }
  if (one_memory) {
    EXPECT_LE(plan.config.memory.host_budget + plan.config.memory.device_budget, input.free_host_bytes);
  } else {
    EXPECT_LE(plan.config.memory.device_budget, input.free_device_bytes);
  }
}

// Some of what could be chosen: fractions in halves (quarters, where few are open), the delay in quarters.
std::vector<Point> grid_of(const Space& space, Random& random) {
  int open = 0;
  for (std::size_t f = 0; f < kFractions; ++f) open += space.is_free(f) ? 1 : 0;
  const std::vector<double> values = open > 3 ? std::vector{0.0, 0.5, 1.0} : std::vector{0.0, 0.25, 0.5, 0.75, 1.0};
  std::vector<Point> points{space.leanest(0.0)};
  for (std::size_t f = 0; f < kFractions; ++f) {
    if (!space.is_free(f)) continue;
    std::vector<Point> more;
    for (const Point& point : points) {
      for (const double value : values) {
        Point with = point;
        with.fractions[f] = value;
        if (sibling(f) > f || with.fractions[sibling(f)] + value <= 1.0) more.push_back(with);
      }
    }
    points = std::move(more);
  }
  std::vector<Point> grid;
  const std::vector<double> delays = space.chooses_delay() ? std::vector{0.0, 0.25, 0.5, 0.75, 1.0} : space.delays();
  for (const Point& point : points) {
    for (const double delay : delays) {
      grid.push_back(point);
      grid.back().delay = delay;
    }
  }
  constexpr std::size_t kMost = 300;
  while (grid.size() > kMost) {
    grid[random.below(grid.size())] = grid.back();
    grid.pop_back();
  }
  return grid;
}

TEST(Planner, FindsWhatFitsAndIsAboutAsFastAsTheBestOfAGrid) {
  const int runs = schedule::test::sweep(8);
  int beyond = 0;  // of small models on odd machines, single cuts and slots count: there is no telling all of them
  for (int seed = 0; seed < runs; ++seed) {
    SCOPED_TRACE(seed);
    Case made;
    test::draw(made, static_cast<std::uint64_t>(seed));
    const Plan plan = make_plan(made.input);
    expect_it_fits(plan, made.input);
    const Space space(made.input.config);
    const Budgets budgets(made.input.config.memory, made.input.free_host_bytes, made.input.free_device_bytes);
    Estimator estimator(made.input.setting, made.input.profile, budgets, Detail::fine);
    Random random(static_cast<std::uint64_t>(seed) + 1000);
    double best = std::numeric_limits<double>::infinity();
    for (const Point& point : grid_of(space, random)) {
      const Estimate estimate = estimator.estimate(space.with(point));
      if (estimate.fits()) best = std::min(best, estimate.step_seconds);
    }
    const double found = Estimator(made.input.setting, made.input.profile, Budgets(plan.config.memory, 0, 0), Detail::fine)
                             .estimate(plan.config)
                             .step_seconds;
    EXPECT_LE(found, 1.15 * best) << made.input.config.to_json();
    beyond += found > 1.03 * best ? 1 : 0;
  }
  EXPECT_LE(beyond, 1 + runs / 30);
}

// The estimates that a search goes by are the forecasts of what would run.
TEST(Estimator, OfAModelOfFewUnitsIsTheForecast) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Case made;
    test::draw(made, seed);
    const Plan plan = make_plan(made.input);
    const Budgets budgets(plan.config.memory, 0, 0);
    Estimator estimator(made.input.setting, made.input.profile, budgets, Detail::fine);
    const Estimate estimate = estimator.estimate(plan.config);
    ASSERT_TRUE(estimate.fits());
    sim::PredictionOptions options;
    options.tasks_walked = kTasksWalked;
    const sim::Prediction prediction = forecast(plan.config, made.input.setting, made.input.profile, options).prediction;
    EXPECT_NEAR(estimate.step_seconds, prediction.step(), 1e-9 * estimate.step_seconds);
    EXPECT_NEAR(estimate.written, static_cast<double>(prediction.ssd_write_bytes), 1.0);
    EXPECT_NEAR(estimate.step_seconds, plan.forecast.prediction.step(), 0.05 * estimate.step_seconds);
  }
}

TEST(Planner, IsHardlySlowerWithMoreMemoryOrAFasterDrive) {
  const int runs = schedule::test::sweep(4);
  for (int seed = 100; seed < 100 + runs; ++seed) {
    SCOPED_TRACE(seed);
    Case made;
    test::draw(made, static_cast<std::uint64_t>(seed));
    const double now = make_plan(made.input).forecast.prediction.step();
    PlannerInput more = made.input;
    more.free_host_bytes += more.free_host_bytes / 2;
    EXPECT_LE(make_plan(more).forecast.prediction.step(), 1.01 * now) << "more memory";
    PlannerInput faster = made.input;
    for (sim::RateCurve* curve : {&faster.profile.ssds.front().read, &faster.profile.ssds.front().write}) {
      for (sim::RatePoint& point : *curve) point.per_second *= 1.5;
    }
    EXPECT_LE(make_plan(faster).forecast.prediction.step(), 1.01 * now) << "a faster drive";
  }
}

TEST(Planner, KeepsWhatAConfigSays) {
  Case made;
  Random random(1);
  Config config = test::small_config(random);
  config.memory = {"cuda:0", 512 * kMiB, 1 * kGiB};
  config.train.delay = 0.3;
  config.train.micro_batches = 3;
  config.optimizer.moments = MomentFormat::bf16;
  config.optimizer.gradient_clipping = 0.0;
  config.placement.weights = {0.1, 0.2};
  config.placement.optimizer = {0.0, 0.0, true};
  config.placement.activations = {0.0, 0.5};
  config.placement.gradients = {0.0, 0.25};
  config.placement.kept = {0.5, 0.0};
  config.placement.update = {0.25};
  made.set_model(config);
  made.input.profile = test::workstation();
  const Plan plan = make_plan(made.input);
  Config expected = config;
  expected.placement.optimizer = plan.config.placement.optimizer;
  EXPECT_EQ(plan.config.to_json(), expected.to_json());
  ASSERT_EQ(plan.choices.size(), 2U);
  EXPECT_EQ(plan.choices[0].key, "placement.optimizer.device");
  EXPECT_EQ(plan.choices[1].key, "placement.optimizer.host");
}

TEST(Planner, NamesItsChoicesAsAConfigHasThem) {
  Case made;
  test::draw(made, 3);
  made.input.config.train.micro_batches = -1;
  made.input.config.optimizer.moments = MomentFormat::automatic;
  made.input.config.placement.weights = made.input.config.placement.gradients = {0.0, 0.0, true};
  made.input.tokens_a_step = 1;
  made.input.free_host_bytes += 64 * kMiB;
  const Plan plan = make_plan(made.input);
  Config again = made.input.config;
  std::vector<std::string> settings;
  for (const Choice& choice : plan.choices) settings.push_back(choice.key + "=" + choice.value);
  const Config parsed = Config::parse("", ".", settings);
  EXPECT_EQ(parsed.train.micro_batches, plan.config.train.micro_batches);
  EXPECT_EQ(parsed.train.delay, plan.config.train.delay);
  EXPECT_EQ(parsed.optimizer.moments, plan.config.optimizer.moments);
  EXPECT_EQ(parsed.placement.weights.host, plan.config.placement.weights.host);
  EXPECT_EQ(parsed.placement.gradients.host, plan.config.placement.gradients.host);
  EXPECT_EQ(parsed.memory.host_budget, plan.config.memory.host_budget);
  EXPECT_EQ(parsed.memory.device_budget, plan.config.memory.device_budget);
}

// Under a guard the delay is what the guard makes of it, and what is speculative keeps its state on SSD.
TEST(Planner, LeavesTheDelayToAGuard) {
  for (const ClippingMode mode : {ClippingMode::automatic, ClippingMode::speculative}) {
    Case made;
    test::draw(made, 5);
    Config config = Config::automatic();
    config.model = made.input.config.model;
    config.optimizer.gradient_clipping = 1.0;
    config.optimizer.clipping_mode = mode;
    config.memory.device = "cuda:0";
    made.set_model(config);
    made.input.free_host_bytes = made.input.free_device_bytes = 2 * kGiB;
    const Plan plan = make_plan(made.input);
    EXPECT_LT(plan.config.train.delay, 0.0);
    const Numerics numerics = numerics_of(plan.config);
    EXPECT_EQ(numerics.guard, mode == ClippingMode::speculative ? schedule::Guard::speculative : schedule::Guard::deferred);
    EXPECT_EQ(plan.forecast.problem.guard, numerics.guard);
  }
}

TEST(Planner, RefusesWhatFitsNowhereWithTheTableOfWhatNeedsWhat) {
  for (const char* device : {"cuda:0", "cpu"}) {
    Case made;
    test::draw(made, 7);
    made.input.config.memory.device = device;
    made.input.free_host_bytes = kMiB / 2;
    try {
      make_plan(made.input);
      ADD_FAILURE() << "not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::budget);
      EXPECT_THAT(error.what(), HasSubstr("memory.host_budget to at least"));
      EXPECT_THAT(error.what(), HasSubstr("task graphs and tables"));
    }
  }
}

TEST(Planner, TakesAsManyMicroBatchesAsAWishForTokensNeeds) {
  Case made;
  test::draw(made, 9);
  Config config = made.input.config;
  config.train.micro_batches = -1;
  config.train.micro_batch_size = 2;
  config.train.sequence_length = 128;
  made.set_model(config);
  made.input.free_host_bytes = made.input.free_device_bytes = 4 * kGiB;
  for (const auto& [tokens, micro_batches] : {std::pair<std::int64_t, std::int64_t>(1, 1), {256, 1}, {257, 2}, {2560, 10}}) {
    made.input.tokens_a_step = tokens;
    const Plan plan = make_plan(made.input);
    EXPECT_EQ(plan.config.train.micro_batches, micro_batches);
    const auto choice =
        std::find_if(plan.choices.begin(), plan.choices.end(), [](const Choice& c) { return c.key == "train.micro_batches"; });
    ASSERT_NE(choice, plan.choices.end());
    EXPECT_TRUE(choice->maths);
  }
}

// A slow drive wants many micro-batches to a step, a fast one few.
TEST(Planner, SaturatesWithAsManyMicroBatchesAsTheDriveIsSlow) {
  std::vector<std::int64_t> chosen;
  for (const double slower : {20.0, 1.0}) {
    Case made;
    test::draw(made, 11);
    Config config = Config::automatic();
    config.model = made.input.config.model;
    config.train.micro_batches = -1;
    config.train.sequence_length = 256;
    config.memory.device = "cuda:0";
    made.set_model(config);
    made.input.profile = test::workstation();
    made.input.profile.compute.rates = {{"bf16", 1e11, 0.0}};
    for (sim::RateCurve* curve : {&made.input.profile.ssds.front().read, &made.input.profile.ssds.front().write}) {
      for (sim::RatePoint& point : *curve) point.per_second /= slower;
    }
    made.input.free_host_bytes = made.input.free_device_bytes = 64 * kMiB;
    made.input.advises = true;
    const Plan plan = make_plan(made.input);
    chosen.push_back(plan.config.train.micro_batches);
    EXPECT_GE(plan.batches.size(), 4U);
    double best = 0.0;
    for (const BatchPoint& point : plan.batches) best = std::max(best, point.tokens_per_second());
    EXPECT_GE(plan.forecast.tokens_per_second(plan.config), 0.90 * best);
    if (plan.saturation) {
      EXPECT_LE(plan.saturation->micro_batches, 32);
    }
  }
  EXPECT_GT(chosen[0], chosen[1]);
}

TEST(Planner, TakesMomentsOfLessWidthOnlyWhereThatGainsMoreThanATenth) {
  const auto moments_of = [](double compute) {
    Case made;
    test::draw(made, 13);
    Config config = Config::automatic();
    config.model = made.input.config.model;
    config.memory.device = "cuda:0";
    config.optimizer.moments = MomentFormat::automatic;
    config.train.sequence_length = 128;
    made.set_model(config);
    made.input.profile = test::workstation();
    made.input.profile.compute.rates = {{"bf16", compute, 0.0}};
    made.input.free_host_bytes = made.input.free_device_bytes = 64 * kMiB;
    const Plan plan = make_plan(made.input);
    const auto choice =
        std::find_if(plan.choices.begin(), plan.choices.end(), [](const Choice& c) { return c.key == "optimizer.moments"; });
    EXPECT_NE(choice, plan.choices.end());
    EXPECT_EQ(choice->maths, plan.config.optimizer.moments == MomentFormat::bf16);
    return plan.config.optimizer.moments;
  };
  EXPECT_EQ(moments_of(1e15), MomentFormat::bf16);  // the drive is all that counts
  EXPECT_EQ(moments_of(1e10), MomentFormat::fp32);  // compute is
}

// With plenty of memory and no commits, whatever is kept off the SSD spares it; moments of less width would spare nothing more.
TEST(Planner, WritesTheLeastOfPlansThatAreEqual) {
  Case made;
  test::draw(made, 15);
  Config config = Config::automatic();
  config.model = made.input.config.model;
  config.memory.device = "cuda:0";
  config.run.durability = Durability::off;
  config.optimizer.moments = MomentFormat::automatic;
  made.set_model(config);
  made.input.profile = test::workstation();
  made.input.profile.compute.rates = {{"bf16", 1e9, 0.0}};  // so slow that nothing else matters
  made.input.free_host_bytes = made.input.free_device_bytes = 8 * kGiB;
  for (const Goal goal : {Goal::throughput, Goal::least_wear}) {
    made.input.goal = goal;
    const Plan plan = make_plan(made.input);
    EXPECT_EQ(plan.forecast.prediction.ssd_write_bytes, 0U);
    EXPECT_EQ(plan.config.optimizer.moments, MomentFormat::fp32);
  }
}

TEST(Planner, ForLeastWearWritesNoMoreThanForThroughput) {
  const int runs = schedule::test::sweep(4);
  for (int seed = 200; seed < 200 + runs; ++seed) {
    SCOPED_TRACE(seed);
    Case made;
    test::draw(made, static_cast<std::uint64_t>(seed));
    const Plan fast = make_plan(made.input);
    made.input.goal = Goal::least_wear;
    const Plan sparing = make_plan(made.input);
    expect_it_fits(sparing, made.input);
    EXPECT_LE(static_cast<double>(sparing.forecast.prediction.ssd_write_bytes),
              1.01 * static_cast<double>(fast.forecast.prediction.ssd_write_bytes));
  }
}

TEST(Planner, SaysWhatMoreWouldBuyTheMostUsefulFirst) {
  Case made;
  test::draw(made, 17);
  Config config = Config::automatic();
  config.model = made.input.config.model;
  config.memory.device = "cuda:0";
  made.set_model(config);
  made.input.profile = test::workstation();
  made.input.profile.compute.rates = {{"bf16", 1e15, 0.0}};
  made.input.free_host_bytes = made.input.free_device_bytes = 64 * kMiB;
  made.input.advises = true;
  const Plan plan = make_plan(made.input);
  ASSERT_GE(plan.purchases.size(), 9U);
  for (std::size_t i = 1; i < plan.purchases.size(); ++i) EXPECT_LE(plan.purchases[i].gain, plan.purchases[i - 1].gain);
  for (const Purchase& purchase : plan.purchases) {
    EXPECT_GE(purchase.gain, 0.0);
    EXPECT_NEAR(purchase.step_seconds * (1.0 + purchase.gain), plan.forecast.prediction.step(), 1e-6);
  }
  EXPECT_EQ(plan.purchases.front().what, "one more drive like the first");
  EXPECT_GT(plan.purchases.front().gain, 0.1);
}

// Seconds of this thread.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST(Planner, OfAHundredLayersSimulatesAFewPlans) {
  for (const std::int64_t hidden : {1024, 4096}) {
    if (hidden > 1024 && schedule::test::kSlowdown > 1) continue;  // the same code, for longer
    Case made;
    Config config = Config::automatic();
    config.model.layers = 100;
    config.model.hidden = hidden;
    config.model.vocab = 32000;
    config.memory.device = "cuda:0";
    made.set_model(config);
    made.input.profile = test::workstation();
    made.input.free_host_bytes = hidden == 1024 ? 12 * kGiB : 128 * kGiB;
    made.input.free_device_bytes = hidden == 1024 ? 4 * kGiB : 16 * kGiB;
    made.input.advises = true;
    const double before = cpu_seconds();
    const Plan plan = make_plan(made.input);
    std::printf("100 layers of %lld: planned in %.2f s of one core, %d simulations of %.0f tasks in all; a step of %.3f s, %s binds\n",
                static_cast<long long>(hidden), cpu_seconds() - before, plan.considered, plan.simulated_tasks,
                plan.forecast.prediction.step(), plan.forecast.prediction.binding().c_str());
    EXPECT_LE(plan.considered, 80);
    EXPECT_LE(plan.simulated_tasks, 2'000'000.0);
    expect_it_fits(plan, made.input);
    // Not far from what its slowest lane takes by itself.
    EXPECT_LE(plan.forecast.prediction.step(), 1.1 * plan.forecast.prediction.lanes[static_cast<std::size_t>(plan.forecast.prediction.binds())].limit);
  }
}

}  // namespace
}  // namespace gsnake::plan
