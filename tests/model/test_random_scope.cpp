// The program's random numbers are its own.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <atomic>
#include <thread>

#include "model/seeding.h"

namespace gsnake::model {
namespace {

TEST(RandomScope, TheProgramsNumbersGoOnAsIfItHadNotBeen) {
  torch::manual_seed(7);
  const torch::Tensor before = torch::randn({5});  // an odd number: one of a pair of normal samples is left
  const torch::Tensor expected = torch::randn({5});
  torch::manual_seed(7);
  EXPECT_TRUE(torch::equal(torch::randn({5}), before));
  {
    const RandomScope scope;
    seed_unit(1, 2, 3, 4);
    static_cast<void>(torch::rand({100}));
  }
  EXPECT_TRUE(torch::equal(torch::randn({5}), expected));
}

TEST(RandomScope, TwoThreadsDrawOneAfterTheOther) {
  const auto drawn = [](std::uint64_t seed) {
    const RandomScope scope;
    seed_unit(seed, 1, 1, 1);
    torch::Tensor sum = torch::zeros({64});
    for (int i = 0; i < 50; ++i) sum += torch::rand({64});
    return sum;
  };
  const torch::Tensor first = drawn(1);
  const torch::Tensor second = drawn(2);
  std::atomic<int> wrong{0};
  const auto repeat = [&](std::uint64_t seed, const torch::Tensor& expected) {
    for (int i = 0; i < 100; ++i) {
      if (!torch::equal(drawn(seed), expected)) ++wrong;
    }
  };
  std::thread other([&] { repeat(2, second); });
  repeat(1, first);
  other.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace gsnake::model
