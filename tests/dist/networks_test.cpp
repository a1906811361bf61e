// Ranks on machines of their own, as far as the network goes. Needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "dist/rank_processes.h"

namespace gsnake::dist::test {
namespace {

using testing::StartsWith;

constexpr int kRankFailed = 8;

// Two network namespaces with a cable between them, and in each a network that leads nowhere.
class RanksApart : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !run("ip netns add " + name(0))) GTEST_SKIP() << "network namespaces need root and iproute2";
    ASSERT_TRUE(run("ip netns add " + name(1)) && run("ip link add cable netns " + name(0) + " type veth peer name cable netns " + name(1)));
    for (int rank = 0; rank < 2; ++rank) {
      const std::string in = "ip -n " + name(rank);
      ASSERT_TRUE(run(in + " link set lo up") && run(in + " addr add 10.211.0." + std::to_string(rank + 1) + "/24 dev cable") && run(in + " link set cable up"));
      ASSERT_TRUE(run(in + " addr add 10.212." + std::to_string(rank) + ".1/24 dev lo"));
    }
  }
  void TearDown() override {
    for (int rank = 0; rank < 2; ++rank) run("ip netns del " + name(rank));
  }
  static void start(RankProcesses& ranks, const std::string& what, const std::string& argument = "") {
    for (int rank = 0; rank < 2; ++rank) {
      ranks.start_by({"ip", "netns", "exec", name(rank)});
      ranks.start(rank, what, argument, {"MASTER_ADDR=10.211.0.1"});
    }
  }
  static std::string name(int rank) { return "gsnake-" + std::to_string(::getpid()) + "-" + std::to_string(rank); }
  static bool run(const std::string& command) { return std::system((command + " 2> /dev/null").c_str()) == 0; }
};

TEST_F(RanksApart, MeetOnTheNetworkThatTheyShare) {
  RankProcesses ranks(2);
  start(ranks, "agreements", "20");
  for (int rank = 0; rank < 2; ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
}

TEST_F(RanksApart, EachNameTheOtherWhenTheCableIsCut) {
  RankProcesses ranks(2, 8.0);
  start(ranks, "loop");
  ranks.wait_until_joined();
  ASSERT_TRUE(run("ip -n " + name(0) + " link set cable down"));
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(ranks.status(rank), kRankFailed);
    EXPECT_THAT(ranks.last_line(rank), StartsWith("rank " + std::to_string(1 - rank) + " gave no sign of life for 8 s"));
  }
}

}  // namespace
}  // namespace gsnake::dist::test
