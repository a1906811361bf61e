// Ranks on GPUs train to the bits of ranks on the CPU, whatever is late, and end as those do; an edge of the collectives' order that is taken away is noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "cuda/ranks/setting.h"
#include "dist/rank_processes.h"
#include "sweep.h"

namespace gsnake::test {
namespace {

using dist::test::RankProcesses;
using testing::HasSubstr;

void start_all(RankProcesses& ranks, int count, RankSetting setting, int gpus = 0) {
  setting.folder = ranks.file("run");
  for (int rank = 0; rank < count; ++rank) ranks.start(rank, "train", written(setting), {"FAKE_CUDA_DEVICES=" + std::to_string(gpus > 0 ? gpus : count)});
}

// By rank: what each said; nothing of one that failed.
std::vector<std::vector<std::string>> said_by(int count, const RankSetting& setting) {
  RankProcesses ranks(count);
  start_all(ranks, count, setting);
  std::vector<std::vector<std::string>> said;
  for (int rank = 0; rank < count; ++rank) {
    const bool ended_well = ranks.status(rank) == 0;
    said.push_back(ended_well ? ranks.lines(rank) : std::vector<std::string>{"failed: " + ranks.last_line(rank)});
  }
  return said;
}

RankSetting on_gpus(int layout, std::uint64_t seed, std::size_t mutation = 0) {
  RankSetting setting;
  setting.device = "cuda:{local_rank}";
  setting.layout = layout;
  setting.seed = seed;
  setting.mutation = mutation;
  return setting;
}

RankSetting on_cpu(int layout) {
  RankSetting setting;
  setting.layout = layout;
  return setting;
}

class GpuRanks : public testing::TestWithParam<int> {};

// Seed 0, which is never late, shows as well that no step waits: a rank says so where it does.
TEST_P(GpuRanks, GiveTheBitsOfRanksOnTheCpu) {
  const auto expected = said_by(2, on_cpu(GetParam()));
  ASSERT_EQ(expected[0].front(), "joined") << expected[0].front();
  for (int seed = 0; seed <= sweep(2, 12); ++seed) {
    SCOPED_TRACE("delays of seed " + std::to_string(seed));
    ASSERT_EQ(said_by(2, on_gpus(GetParam(), static_cast<std::uint64_t>(seed))), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, GpuRanks, testing::Range(0, kLayouts));

TEST(GpuRanksOfThree, GiveTheBitsOfRanksOnTheCpu) {
  const auto expected = said_by(3, on_cpu(0));
  ASSERT_EQ(expected[0].front(), "joined") << expected[0].front();
  EXPECT_EQ(said_by(3, on_gpus(0, 3)), expected);
}

TEST(GpuRankRefusals, TwoRanksOnOneGpuAreToldWhatToWrite) {
  RankProcesses ranks(2);
  RankSetting setting = on_gpus(0, 0);
  setting.device = "cuda:0";
  start_all(ranks, 2, setting);
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(ranks.status(rank), 2);
    EXPECT_THAT(ranks.last_line(rank), HasSubstr("ranks 0 and 1 would share the GPU"));
    EXPECT_THAT(ranks.last_line(rank), HasSubstr("cuda:{local_rank}"));
  }
}

TEST(GpuRankRefusals, ARankWithoutAGpuEndsAll) {
  RankProcesses ranks(2);
  start_all(ranks, 2, on_gpus(0, 0), 1);
  EXPECT_EQ(ranks.status(1), 2);
  EXPECT_THAT(ranks.last_line(1), HasSubstr("cuda:1"));
  EXPECT_EQ(ranks.status(0), 8);
  EXPECT_THAT(ranks.last_line(0), HasSubstr("rank 1 failed: "));
}

class GpuRankFailures : public testing::Test {
 protected:
  // Two that train for ever, one of which gets a signal while they do.
  void send(int signal, double timeout) {
    RankProcesses ranks(2, timeout);
    RankSetting setting = on_gpus(0, 1);
    setting.steps = 1'000'000;
    start_all(ranks, 2, setting);
    ASSERT_NO_FATAL_FAILURE(ranks.wait_until_joined());
    ranks.send(1, signal);
    EXPECT_EQ(ranks.status(0), 8);
    said_ = ranks.last_line(0);
  }
  std::string said_;
};

TEST_F(GpuRankFailures, OneThatIsKilledEndsTheOther) {
  send(SIGKILL, 60.0);
  EXPECT_THAT(said_, HasSubstr("rank 1 is gone"));
}

TEST_F(GpuRankFailures, OneThatIsStoppedEndsTheOther) {
  send(SIGSTOP, 6.0);
  EXPECT_THAT(said_, HasSubstr("rank 1"));
  EXPECT_THAT(said_, HasSubstr("no sign of life"));
}

class GpuRankMutations : public testing::TestWithParam<std::size_t> {};

TEST_P(GpuRankMutations, IsCaught) {
  for (int layout = 0; layout < kLayouts; ++layout) {
    const auto expected = said_by(2, on_cpu(layout));
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      if (said_by(2, on_gpus(layout, seed, GetParam())) != expected) return;
    }
  }
  FAIL() << kMutations.at(GetParam()).name << ": not caught with any of 5 seeds in any layout";
}

INSTANTIATE_TEST_SUITE_P(One, GpuRankMutations, testing::Range(std::size_t{1}, kMutations.size()), [](const auto& test) {
  std::string name = kMutations.at(test.param).name;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == ' ' || c == '\''; }, '_');
  return name;
});

}  // namespace
}  // namespace gsnake::test
