// What large models are refused by is about what they would be charged with.
#include "plan/extrapolation.h"

#include <gtest/gtest.h>

#include "plan/numerics.h"
#include "plan/shapes.h"
#include "schedule/support.h"

namespace gsnake::plan {
namespace {

using schedule::test::Random;

TierFractions random_tiers(Random& random) {
  switch (random.below(4)) {
    case 0:
      return {0.0, 1.0};
    case 1:
      return {1.0, 0.0};
    case 2:
      return {0.25, 0.5};
    default:
      return {};
  }
}

// A step's micro-batches are as many times as many as the ranks.
void share_out(Config& config, int ranks) {
  config.ranks.count = ranks;
  config.train.micro_batches *= ranks;
}

Config random_config(Random& random) {
  Config config;
  config.model.hidden = 64 * random.between(1, 6);
  config.model.vocab = random.between(100, 5000);
  config.model.layers = random.between(10, 24);
  config.model.tie_embeddings = random.coin();
  config.train.micro_batches = random.between(7, 16);
  config.train.micro_batch_size = random.between(1, 4);
  config.train.sequence_length = 32;
  config.train.dtype = random.one_of<Dtype>({Dtype::fp32, Dtype::bf16});
  config.train.schedule = random.below(3) == 0 ? Schedule::horizontal : Schedule::vertical;
  if (config.train.schedule == Schedule::vertical && random.coin()) config.train.order = MicroBatchOrder::ascending;
  config.train.delay = random.one_of<double>({0.0, 0.5, 1.0});
  config.placement.activations = random_tiers(random);
  config.placement.weights = random_tiers(random);
  config.placement.optimizer = random_tiers(random);
  config.placement.gradients.host = random.one_of<double>({0.0, 0.3, 1.0});
  if (random.coin()) config.run.durability = Durability::off;
  return config;
}

// Where activations take turns among tiers in each unit, how many of one tier are there at once goes by how the turns meet the units.
bool takes_turns(const Config& config) {
  const TierFractions& tiers = config.placement.activations;
  return config.train.schedule == Schedule::horizontal && tiers.device < 1.0 && tiers.host < 1.0 && tiers.device + tiers.host > 0.0;
}

void expect_about_the_whole_plan(const Config& config, bool frozen_blocks = false) {
  SCOPED_TRACE(std::to_string(config.ranks.rank) + " of " + std::to_string(config.ranks.count) + ": " + config.to_json() + (frozen_blocks ? " with frozen blocks" : ""));
  ModelLayout layout = test::gpt2_layout(config.model);
  if (frozen_blocks) test::freeze_blocks(layout);
  const Overheads overheads{1000, "", 2000, 3000};
  const auto exact = least_memory(make_problem(config, numerics_of(config), layout, Purpose::train), overheads);
  const auto extrapolated = extrapolated_memory(config, layout, Purpose::train, overheads);
  for (const char* tier : {"host", "device"}) {
    const auto about = static_cast<double>(bytes_of(extrapolated, tier));
    EXPECT_GE(static_cast<double>(bytes_of(exact, tier)), kLeastOfExtrapolated * about) << tier;
    if (takes_turns(config)) continue;
    EXPECT_LE(static_cast<double>(bytes_of(exact, tier)), kMostOfExtrapolated * about) << tier;
  }
}

TEST(Extrapolation, IsAboutWhatTheWholePlanIsCharged) {
  const int runs = 60 / schedule::test::kSlowdown;
  for (int seed = 0; seed < runs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const Config config = random_config(random);
    expect_about_the_whole_plan(config, random.below(4) == 0);
  }
}

// Each rank is told what it needs itself.
TEST(Extrapolation, OfARankIsAboutWhatItsPlanIsCharged) {
  const int runs = 40 / schedule::test::kSlowdown;
  for (int seed = 0; seed <= runs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 200);
    Config config = random_config(random);
    share_out(config, random.between(2, 5));
    config.ranks.rank = random.between(0, config.ranks.count - 1);
    expect_about_the_whole_plan(config, random.below(4) == 0);
    if (seed % 8 > 0) continue;
    config = random_config(random);
    config.model.hidden = 2048;
    config.model.layers = random.between(2, 9);
    config.train.micro_batches = random.between(3, 9);
    share_out(config, random.between(2, 3));
    expect_about_the_whole_plan(config);
    config = random_config(random);
    (random.coin() ? config.model.layers : config.train.micro_batches) = random.between(60, 120);
    share_out(config, random.between(2, 8));
    expect_about_the_whole_plan(config);
  }
}

TEST(Extrapolation, GoesOnWithManyChunksUnitsAndMicroBatches) {
  const int runs = 6 / schedule::test::kSlowdown;
  for (int seed = 0; seed <= runs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 100);
    Config config = random_config(random);
    config.model.hidden = 2048;  // 50 million elements a block
    config.model.layers = random.between(2, 9);
    config.train.micro_batches = random.between(3, 9);
    expect_about_the_whole_plan(config);
    expect_about_the_whole_plan(config, true);
    config.placement.weights = {0.0, 0.0001};  // too little of a part of a block to be seen
    expect_about_the_whole_plan(config);
    config = random_config(random);
    config.model.layers = random.between(60, 120);
    expect_about_the_whole_plan(config);
    config = random_config(random);
    config.train.micro_batches = random.between(60, 120);
    expect_about_the_whole_plan(config);
  }
}

}  // namespace
}  // namespace gsnake::plan
