// Plans and predictions of several ranks: budgets and memory are a rank's, tokens are everybody's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/machines.h"
#include "plan/planner/estimator.h"
#include "plan/prediction_json.h"
#include "plan/side_by_side.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1ULL << 20;

sim::MachineProfile linked(double per_second = 4e9) {
  sim::MachineProfile profile = test::workstation();
  profile.link.per_second = per_second;
  profile.link.latency = 2e-5;
  return profile;
}

Config config_of(int ranks, int local_ranks) {
  Config config;
  config.model.layers = 6;
  config.model.hidden = 256;
  config.model.heads = 8;
  config.model.vocab = 4000;
  config.train.micro_batches = 2 * ranks;
  config.train.sequence_length = 128;
  config.train.delay = 0.5;
  config.memory = {"cuda:0", 512 * kMiB, 512 * kMiB};
  config.ranks.count = ranks;
  config.ranks.local_count = local_ranks;
  return config;
}

struct Predicted {
  test::Case made;
  Forecast forecast;
};

std::unique_ptr<Predicted> predicted(const Config& config, const sim::MachineProfile& profile) {
  auto one = std::make_unique<Predicted>();
  one->made.set_model(config);
  one->forecast = forecast(config, one->made.input.setting, profile, prediction_options(config));
  return one;
}

TEST(RanksForecast, IsOfOneRanksPartAndEverybodysTokens) {
  const auto alone = predicted(config_of(1, 1), linked());
  const auto of_four = predicted(config_of(4, 1), linked());
  const Forecast& forecast = of_four->forecast;
  EXPECT_EQ(forecast.problem.micro_batches, 2);
  EXPECT_EQ(forecast.problem.ranks, 4);
  const double tokens = 4 * 2 * 128;
  EXPECT_NEAR(forecast.tokens_per_second(of_four->made.input.config), tokens / forecast.prediction.step(), 1e-6);
  // A quarter of the state, but for grains; the same checkpoints.
  const auto read = [](const Predicted& one) { return static_cast<double>(one.forecast.prediction.ssd_read_bytes); };
  EXPECT_NEAR(read(*of_four), read(*alone) / 4.0, 0.02 * read(*alone));
  EXPECT_GT(forecast.prediction.lanes[static_cast<std::size_t>(schedule::Lane::collective)].busy, 0.0);
}

// Drives, cores and memory's bandwidth are shared by those on one machine; what is another's is not.
TEST(RanksForecast, IsSlowerWhereRanksShareADrive) {
  Config config = config_of(4, 4);
  sim::MachineProfile profile = linked(1e12);
  profile.compute.rates = {{"bf16", 1e15, 0.0}};
  profile.cpu = {};
  profile.optimizer = {};
  const double shared = predicted(config, profile)->forecast.prediction.step();
  config.ssd.paths = {"/nvme{local_rank}/state"};
  const double own = predicted(config, profile)->forecast.prediction.step();
  config.ranks.local_count = 1;
  config.ssd.paths = {"/nvme/state"};
  EXPECT_DOUBLE_EQ(predicted(config, profile)->forecast.prediction.step(), own);
  EXPECT_GT(shared, 2.5 * own);
}

TEST(RanksForecast, SaysHowManyRanksAndNamesTheirLink) {
  const auto slow = predicted(config_of(2, 1), linked(2e7));
  const Config& config = slow->made.input.config;
  const sim::MachineProfile profile = linked(2e7);
  const std::string text = text_of(slow->forecast, config, profile);
  EXPECT_THAT(text, testing::AllOf(HasSubstr("on workstation: a step of 2 ranks takes"), HasSubstr("of each rank:"), HasSubstr("collective binds"),
                                   HasSubstr("collective: all_gather"), HasSubstr("slots for this rank's weights")));
  const Json json = json_of(slow->forecast, config, profile);
  EXPECT_EQ(json["ranks"], 2);
  EXPECT_EQ(json["tokens"], 2 * 2 * 128);
  EXPECT_EQ(json["binds"], "collective");
  EXPECT_GT(json["lanes"]["collective"]["limit_ms"], 0.0);
}

// A drive that two ranks wear lasts half as long as one that each has for itself.
TEST(RanksForecast, WearsADriveByAllThatWriteToIt) {
  Config config = config_of(2, 2);
  const sim::MachineProfile profile = linked();
  const auto one = predicted(config, profile);
  Config own = config;
  own.ssd.paths = {"/nvme{local_rank}"};
  const double days_shared = json_of(one->forecast, config, profile)["wear"]["days"];
  const double days_own = json_of(one->forecast, own, profile)["wear"]["days"];
  EXPECT_NEAR(days_own, 2.0 * days_shared, 1e-9 * days_own);
}

TEST(RanksSideBySide, CountsTheTokensOfAllRanks) {
  const Config config = config_of(4, 4);
  test::Case made;
  made.set_model(config);
  const std::vector<Contender> contenders = side_by_side(config, made.input.setting, linked());
  ASSERT_EQ(contenders.size(), 4U);
  for (const Contender& contender : contenders) {
    EXPECT_EQ(contender.problem.ranks, 4) << contender.name;
    EXPECT_EQ(contender.tokens, contender.problem.micro_batches * 4 * 128) << contender.name;
    EXPECT_GT(contender.prediction.lanes[static_cast<std::size_t>(schedule::Lane::collective)].limit, 0.0) << contender.name;
  }
  EXPECT_EQ(contenders[0].problem.micro_batches, 2);
  EXPECT_EQ(contenders[3].problem.micro_batches, 1);
  // Each micro-batch gathers all weights again.
  const auto link = [&](std::size_t i) { return contenders[i].prediction.lanes[static_cast<std::size_t>(schedule::Lane::collective)].limit; };
  EXPECT_NEAR(link(1), 2.0 * link(2), 0.01 * link(1));
  const std::vector<BatchPoint> points = over_micro_batches(config, made.input.setting, linked(), 4);
  ASSERT_EQ(points.size(), 3U);
  for (std::size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(points[i].micro_batches, 4 << i);
    EXPECT_EQ(points[i].tokens, (4 << i) * 128.0);
  }
}

Config open_config(int ranks) {
  Config config = Config::automatic();
  config.model = config_of(1, 1).model;
  config.model.layers = 3;
  config.train.sequence_length = 128;
  config.train.micro_batches = -1;
  config.memory.device = "cuda:0";
  config.ranks.count = config.ranks.local_count = ranks;
  return config;
}

TEST(RanksPlanner, ChoosesEqualSharesOfMicroBatches) {
  test::Case made;
  made.set_model(open_config(3));
  made.input.config.ranks.rank = 2;
  made.input.profile = linked();
  made.input.free_host_bytes = made.input.free_device_bytes = 256 * kMiB;
  made.input.advises = true;
  const Plan plan = make_plan(made.input);
  EXPECT_EQ(plan.config.train.micro_batches % 3, 0);
  EXPECT_EQ(plan.config.ranks.rank, 2);
  EXPECT_NO_THROW(plan.config.validate());
  ASSERT_FALSE(plan.batches.empty());
  for (const BatchPoint& point : plan.batches) EXPECT_EQ(point.micro_batches % 3, 0);
  for (const auto& [tokens, micro_batches] : {std::pair<std::int64_t, std::int64_t>(1, 3), {384, 3}, {385, 6}}) {
    made.input.tokens_a_step = tokens;
    made.input.advises = false;
    EXPECT_EQ(make_plan(made.input).config.train.micro_batches, micro_batches) << tokens;
  }
}

// What is found for the first rank, which owns the most, is found for all.
TEST(RanksPlanner, FitsTheBudgetsOfEachRank) {
  for (int seed = 0; seed < schedule::test::sweep(3); ++seed) {
    SCOPED_TRACE(seed);
    test::Case made;
    test::Random random(static_cast<std::uint64_t>(seed) + 400);
    Config config = test::small_config(random);
    config.ranks.count = random.between(2, 4);
    config.ranks.local_count = random.coin() ? config.ranks.count : 1;
    config.train.micro_batches *= config.ranks.count;
    made.set_model(config);
    made.input.profile = test::random_machine(random);
    made.input.profile.link.per_second = 1e9 * random.one_of<double>({0.2, 1.0, 5.0});
    made.input.advises = false;
    test::set_free_memory(made.input, random);
    const Plan plan = make_plan(made.input);
    const auto items = exact_requirements(plan.config, made.input.setting).value();
    EXPECT_LE(bytes_of(items, "host"), plan.config.memory.host_budget);
    EXPECT_LE(bytes_of(items, "device"), plan.config.memory.device_budget);
    EXPECT_LE(plan.config.memory.host_budget, made.input.free_host_bytes);
    const Budgets budgets(plan.config.memory, 0, 0);
    const Estimate estimate = Estimator(made.input.setting, made.input.profile, budgets, Detail::fine).estimate(plan.config);
    EXPECT_NEAR(estimate.step_seconds, plan.forecast.prediction.step(), 0.05 * estimate.step_seconds);
  }
}

TEST(RanksPlanner, SaysWhatAFasterLinkWouldBuy) {
  const auto gain_of = [](int ranks, double link) {
    test::Case made;
    made.set_model(open_config(ranks));
    made.input.config.train.micro_batches = ranks;
    made.input.profile = linked(link);
    made.input.free_host_bytes = made.input.free_device_bytes = 256 * kMiB;
    made.input.advises = true;
    for (const Purchase& purchase : make_plan(made.input).purchases) {
      if (purchase.what == "the link between ranks 10% faster") return purchase.gain;
    }
    return -1.0;
  };
  EXPECT_EQ(gain_of(1, 1e8), -1.0);
  EXPECT_GT(gain_of(2, 2e7), 0.08);
  EXPECT_LT(gain_of(2, 1e12), 0.01);
}

}  // namespace
}  // namespace gsnake::plan
