#include "data/mixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace gsnake::data {
namespace {

std::vector<std::uint64_t> quotas(const std::vector<double>& weights) {
  const Mixture mixture(weights, 1);
  std::vector<std::uint64_t> all;
  for (std::size_t source = 0; source < weights.size(); ++source) all.push_back(mixture.quota(source));
  return all;
}

TEST(Mixture, TakesTheShortestBlockThatGivesEachItsShare) {
  EXPECT_EQ(quotas({0.7, 0.3}), (std::vector<std::uint64_t>{7, 3}));
  EXPECT_EQ(quotas({1, 1, 1}), (std::vector<std::uint64_t>{1, 1, 1}));
  EXPECT_EQ(quotas({1.0 / 3, 2.0 / 3}), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(quotas({0.125, 100}), (std::vector<std::uint64_t>{1, 800}));
}

TEST(Mixture, RoundsSharesThatNoBlockGivesButDropsNone) {
  const std::vector<double> weights{1.0, 1.41421356237, 1.73205080757, 2.2360679775};
  const auto rounded = quotas(weights);
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(static_cast<double>(rounded[i]), weights[i] / 6.38233234744 * 65536, 1.0);
  EXPECT_EQ(quotas({1e-12, 1.0}).front(), 1U);
}

TEST(Mixture, EveryBlockHasEachSourcesShareAndEveryIndexOnceInOrderOfBlocks) {
  Mixture mixture(std::vector<double>{0.5, 0.3, 0.2}, 7);
  std::vector<std::vector<std::uint64_t>> indices(3);
  std::vector<std::vector<std::size_t>> orders;
  for (std::uint64_t block = 0; block < 20; ++block) {
    std::vector<std::uint64_t> drawn(3);
    orders.emplace_back();
    for (std::uint64_t i = 0; i < 10; ++i) {
      const auto draw = mixture(block * 10 + i);
      ++drawn[draw.source];
      indices[draw.source].push_back(draw.index);
      orders.back().push_back(draw.source);
    }
    EXPECT_EQ(drawn, (std::vector<std::uint64_t>{5, 3, 2})) << "block " << block;
  }
  EXPECT_NE(orders[0], orders[1]);
  for (auto& own : indices) {
    std::sort(own.begin(), own.end());
    for (std::size_t i = 0; i < own.size(); ++i) ASSERT_EQ(own[i], i);
  }
}

TEST(Mixture, ADrawDependsOnNoneBefore) {
  Mixture in_order(std::vector<double>{2, 1}, 3);
  Mixture anywhere(std::vector<double>{2, 1}, 3);
  for (std::uint64_t draw = 0; draw < 100; ++draw) {
    const auto other = 99 - draw;
    const auto expected = in_order(other);
    const auto got = anywhere(other);
    EXPECT_EQ(got.source, expected.source);
    EXPECT_EQ(got.index, expected.index);
  }
}

TEST(Mixture, OneSourceIsItself) {
  Mixture mixture(std::vector<double>{0.4}, 3);
  for (const std::uint64_t draw : {std::uint64_t{0}, std::uint64_t{12345}, std::uint64_t{1} << 60}) EXPECT_EQ(mixture(draw).index, draw);
}

}  // namespace
}  // namespace gsnake::data
