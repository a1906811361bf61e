#include "data/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace gsnake::data {
namespace {

std::vector<std::uint64_t> order_of(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch) {
  const Permutation permutation(size, seed, epoch);
  std::vector<std::uint64_t> order(size);
  for (std::uint64_t i = 0; i < size; ++i) order[i] = permutation(i);
  return order;
}

TEST(Permutation, IsABijectionForEverySize) {
  std::vector<std::uint64_t> sizes{1023, 1024, 1025, 4095, 4096, 4097, 16385, 65537, 100003};
  for (std::uint64_t size = 1; size <= 300; ++size) sizes.push_back(size);
  for (const auto size : sizes) {
    auto order = order_of(size, 7, 3);
    std::sort(order.begin(), order.end());
    for (std::uint64_t i = 0; i < size; ++i) ASSERT_EQ(order[i], i) << "size " << size;
  }
}

TEST(Permutation, DependsOnSeedAndEpochAlone) {
  EXPECT_EQ(order_of(1000, 1, 2), order_of(1000, 1, 2));
  EXPECT_NE(order_of(1000, 1, 2), order_of(1000, 1, 3));
  EXPECT_NE(order_of(1000, 1, 2), order_of(1000, 2, 2));
  EXPECT_NE(order_of(1000, 1, 2), order_of(1000, 2, 1));
}

// A run's data order must not change between versions: a resume would train on other text than the run it continues.
TEST(Permutation, KeepsTheOrderThatEarlierRunsHad) {
  EXPECT_EQ(order_of(10, 1, 0), (std::vector<std::uint64_t>{6, 8, 2, 1, 3, 7, 9, 5, 0, 4}));
}

TEST(Permutation, SpreadsNeighboursApart) {
  constexpr std::uint64_t kSize = 10000;
  const auto order = order_of(kSize, 5, 0);
  std::uint64_t fixed = 0;
  std::uint64_t adjacent = 0;
  double distance = 0.0;
  for (std::uint64_t i = 0; i + 1 < kSize; ++i) {
    fixed += order[i] == i;
    adjacent += order[i + 1] == order[i] + 1;
    distance += std::abs(static_cast<double>(order[i + 1]) - static_cast<double>(order[i])) / kSize;
  }
  EXPECT_LT(fixed, 12u);     // 1 is expected of a random order
  EXPECT_LT(adjacent, 12u);  // 1 is expected
  EXPECT_NEAR(distance / kSize, 1.0 / 3.0, 0.02);
}

TEST(Permutation, HandlesSizesBeyondMemory) {
  const std::uint64_t size = (std::uint64_t{1} << 62) - 12345;
  const Permutation permutation(size, 1, 1);
  for (const std::uint64_t index : {std::uint64_t{0}, size / 2, size - 1}) EXPECT_LT(permutation(index), size);
}

}  // namespace
}  // namespace gsnake::data
