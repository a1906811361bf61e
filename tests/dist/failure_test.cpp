// How ranks end when one of them does not go on, each in a process of its own. Whoever does not end at all fails its test after two minutes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <ostream>
#include <thread>

#include "dist/rank_processes.h"

namespace gsnake::dist::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr int kRankFailed = 8;
constexpr double kShort = 8.0;  // for those who have to wait that long: processes take a while to start on a machine that has other work

void expect_failed(RankProcesses& ranks, int rank, const std::string& saying) {
  EXPECT_EQ(ranks.status(rank), kRankFailed) << "rank " << rank;
  EXPECT_THAT(ranks.last_line(rank), StartsWith(saying)) << "says rank " << rank;
}

// What the rank that fails does until then, and what the two others do.
struct Case {
  const char* name;
  int victim;
  const char* victims;
  const char* others;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class RanksFail : public testing::TestWithParam<Case> {
 protected:
  static constexpr int kCount = 3;

  static void start(RankProcesses& ranks, const std::string& victims, const std::string& argument = "") {
    for (int rank = 0; rank < kCount; ++rank) {
      if (rank == GetParam().victim) {
        ranks.start(rank, victims, argument);
      } else {
        ranks.start(rank, GetParam().others);
      }
    }
  }
  static void expect_all_others_say(RankProcesses& ranks, const std::string& what) {
    for (int rank = 0; rank < kCount; ++rank) {
      if (rank != GetParam().victim) expect_failed(ranks, rank, "rank " + std::to_string(GetParam().victim) + " " + what);
    }
  }
};

constexpr Case kCases[] = {
    {"OthersAgree", 1, "pause", "share"},       {"OthersAddUp", 1, "pause", "loop"},   {"AllAddUp", 1, "loop", "loop"},           {"NobodyWaits", 1, "pause", "idle"},
    {"KeeperOthersAgree", 0, "pause", "share"}, {"KeeperAllAddUp", 0, "loop", "loop"}, {"KeeperNobodyWaits", 0, "pause", "idle"},
};
constexpr Case kSlowCases[] = {kCases[0], kCases[2], kCases[3], kCases[5]};

INSTANTIATE_TEST_SUITE_P(Cases, RanksFail, testing::ValuesIn(kCases), [](const auto& one) { return std::string(one.param.name); });

TEST_P(RanksFail, OneThatIsKilledIsNamed) {
  RankProcesses ranks(kCount);
  start(ranks, GetParam().victims);
  ranks.wait_until_joined();
  ranks.send(GetParam().victim, SIGKILL);
  expect_all_others_say(ranks, "is gone: its connection closed");
}

TEST_P(RanksFail, OneThatGivesAReasonIsNamedWithIt) {
  RankProcesses ranks(kCount);
  start(ranks, "fail", "the drive is full");
  expect_all_others_say(ranks, "failed: the drive is full;");
  EXPECT_EQ(ranks.status(GetParam().victim), 0) << ranks.last_line(GetParam().victim);
}

class RanksStandStill : public RanksFail {};

INSTANTIATE_TEST_SUITE_P(Cases, RanksStandStill, testing::ValuesIn(kSlowCases), [](const auto& one) { return std::string(one.param.name); });

TEST_P(RanksStandStill, AndAreNamed) {
  RankProcesses ranks(kCount, kShort);
  start(ranks, GetParam().victims);
  ranks.wait_until_joined();
  ranks.send(GetParam().victim, SIGSTOP);
  expect_all_others_say(ranks, "gave no sign of life for 8 s");
}

class RanksGoOn : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Victims, RanksGoOn, testing::Values(0, 1), [](const auto& one) { return std::to_string(one.param); });

// It writes to connections that are closed by then: it ends as well, and not by a signal.
TEST_P(RanksGoOn, AndEndWhenTheOthersHaveGivenThemUp) {
  RankProcesses ranks(2, kShort);
  ranks.start_all("loop");
  ranks.wait_until_joined();
  ranks.send(GetParam(), SIGSTOP);
  EXPECT_EQ(ranks.status(1 - GetParam()), kRankFailed);
  ranks.send(GetParam(), SIGCONT);
  EXPECT_EQ(ranks.status(GetParam()), kRankFailed);
  EXPECT_THAT(ranks.last_line(GetParam()), HasSubstr("rank " + std::to_string(GetParam()) + ", this one, stood still for"));
}

TEST(RanksAllStop, AndGoOnAsIfNothingWas) {
  RankProcesses ranks(3, kShort);
  for (int rank = 0; rank < 3; ++rank) ranks.start(rank, "sleep and share", "12");
  ranks.wait_until_joined();
  for (int rank = 0; rank < 3; ++rank) ranks.send(rank, SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(10));
  for (int rank = 0; rank < 3; ++rank) ranks.send(rank, SIGCONT);
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
}

TEST(RanksLeave, WithoutDisturbingThoseWhoDoNotWaitForThem) {
  RankProcesses ranks(3, kShort);
  ranks.start(0, "leave");
  ranks.start(1, "leave");
  ranks.start(2, "sleep", "12");  // longer than anybody waits for it
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
}

TEST(RanksLeave, AndAreNamedByThoseWhoWaitForThem) {
  RankProcesses ranks(3);
  ranks.start(0, "share");
  ranks.start(1, "leave");
  ranks.start(2, "loop");
  for (const int rank : {0, 2}) expect_failed(ranks, rank, "rank 1 has left, and the others wait for it");
  EXPECT_EQ(ranks.status(1), 0) << ranks.last_line(1);
}

TEST(RanksLeave, ACollectiveAloneAndAreNamed) {
  RankProcesses ranks(2);
  ranks.start(0, "loop");
  ranks.start(1, "abort");
  expect_failed(ranks, 0, "rank 1 has left, and the others wait for it");
}

TEST(RanksLeave, WithoutAWordAndAreNamed) {
  RankProcesses ranks(2);
  ranks.start(0, "idle");
  ranks.start(1, "exit");
  expect_failed(ranks, 0, "rank 1 is gone: its connection closed");
}

TEST(RanksHang, UntilTheirLastResort) {
  RankProcesses ranks(2);
  ranks.start(0, "pause");
  ranks.start(1, "pause");
  ranks.wait_until_joined();
  ranks.send(1, SIGKILL);
  expect_failed(ranks, 0, "last resort: rank 1 is gone");
}

// Of its own failure: whatever it was about to close does not let go of it.
TEST(RanksHang, AfterTheirOwnFailureUntilTheirLastResort) {
  RankProcesses ranks(2);
  ranks.start(0, "idle");
  ranks.start(1, "fail and pause", "no drive");
  EXPECT_EQ(ranks.status(1), kRankFailed);
  EXPECT_THAT(ranks.last_line(1), StartsWith("last resort: rank 1, this one, has failed: no drive"));
  EXPECT_EQ(ranks.status(0), kRankFailed);
  EXPECT_THAT(ranks.last_line(0), StartsWith("rank 1 failed: no drive"));
}

}  // namespace
}  // namespace gsnake::dist::test
