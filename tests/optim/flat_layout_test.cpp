#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "optim/flat_layout.h"

namespace gsnake::optim {
namespace {

std::vector<ParameterInfo> some_parameters() {
  return {{"a.weight", {3, 7}, 21, 2}, {"a.bias", {3}, 3, 1}, {"norm.weight", {16}, 16, 1}, {"b.weight", {2, 8}, 16, 2}};
}

std::vector<std::tuple<std::uint64_t, std::uint64_t, bool>> runs_of(const FlatLayout& layout, std::uint64_t padded) {
  std::vector<std::tuple<std::uint64_t, std::uint64_t, bool>> runs;
  for (const DecayRun& run : layout.decay_runs(padded)) runs.emplace_back(run.begin, run.end, run.decays);
  return runs;
}

TEST(FlatLayout, StartsEveryParameterOnACacheLine) {
  const FlatLayout layout = make_flat_layout(some_parameters(), false);
  std::vector<std::uint64_t> offsets;
  for (const FlatParameter& parameter : layout.parameters) offsets.push_back(parameter.offset);
  EXPECT_THAT(offsets, testing::ElementsAre(0, 32, 48, 64));
  EXPECT_EQ(layout.elements, 80U);
}

TEST(FlatLayout, DecayRunsCoverThePaddedVectorAndMergeNeighbours) {
  const FlatLayout layout = make_flat_layout(some_parameters(), false);
  EXPECT_THAT(runs_of(layout, 2048),
              testing::ElementsAre(std::tuple(0U, 32U, true), std::tuple(32U, 64U, false), std::tuple(64U, 2048U, true)));
}

TEST(FlatLayout, OneDimensionalParametersDecayOnlyOnRequest) {
  const FlatLayout layout = make_flat_layout(some_parameters(), true);
  EXPECT_THAT(runs_of(layout, 80), testing::ElementsAre(std::tuple(0U, 80U, true)));
}

TEST(FlatLayout, LeavesTheTiedParameterOutAndKeepsTheIndicesOfTheRest) {
  const FlatLayout layout = make_flat_layout(some_parameters(), false, "a.bias");
  std::vector<std::size_t> indices;
  for (const FlatParameter& parameter : layout.parameters) indices.push_back(parameter.index);
  EXPECT_THAT(indices, testing::ElementsAre(0, 2, 3));
  EXPECT_EQ(layout.elements, 64U);
}

TEST(FlatLayout, AUnitWithoutParametersIsEmpty) {
  const FlatLayout layout = make_flat_layout({}, false);
  EXPECT_EQ(layout.elements, 0U);
  EXPECT_TRUE(layout.decay_runs(0).empty());
  EXPECT_THAT(runs_of(layout, 64), testing::ElementsAre(std::tuple(0U, 64U, false)));
}

TEST(FlatLayout, RefusesAnUnknownTiedNameAndTooSmallAVector) {
  EXPECT_THROW(make_flat_layout(some_parameters(), false, "a.biass"), Error);
  EXPECT_THROW(static_cast<void>(make_flat_layout(some_parameters(), false).decay_runs(79)), Error);
}

}  // namespace
}  // namespace gsnake::optim
