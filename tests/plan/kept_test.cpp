// What the planner keeps of activations.
#include <gtest/gtest.h>

#include "plan/machines.h"
#include "plan/planner/planner.h"

namespace gsnake::plan {
namespace {

using test::Case;

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

// As many as memory has room for, once it is known what a pass takes.
TEST(Planner, KeepsActivationsWhereComputingIsWhatCounts) {
  const auto kept_of = [](double seconds_of_flops, std::uint64_t each, std::uint64_t free) {
    Case made;
    test::draw(made, 15);
    Config config;
    config.model = made.input.config.model;
    config.memory = {"cuda:0", free, 8 * kGiB};
    config.placement.kept = {0.0, 0.0, true};
    made.set_model(config);
    made.input.profile = test::workstation();
    made.input.profile.compute.rates = {{"bf16", 1.0 / seconds_of_flops, 0.0}};
    if (each > 0) {
      made.input.setting.peaks.kept.assign(made.input.setting.layout->shapes.size(), each);
      made.input.setting.peaks.kept_tokens = tokens_of(config, Purpose::train);
    }
    const Plan plan = make_plan(made.input);
    EXPECT_FALSE(plan.config.placement.kept.automatic);
    return plan.config.placement.kept.device;
  };
  EXPECT_EQ(kept_of(1e-9, kMiB, 8 * kGiB), 1.0);
  const double some = kept_of(1e-9, 512 * kMiB, 4 * kGiB);
  EXPECT_GT(some, 0.0);
  EXPECT_LT(some, 1.0);
  EXPECT_EQ(kept_of(1e-9, 0, 8 * kGiB), 0.0) << "nobody has measured what it takes";
}

}  // namespace
}  // namespace gsnake::plan
