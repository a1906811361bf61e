// How ranks find one another, or do not.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "core/unique_fd.h"
#include "dist/rank_processes.h"

namespace gsnake::dist::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int kUsage = 2;
constexpr int kRankFailed = 8;
constexpr double kShort = 2.0;

TEST(RanksMeet, OnlyWhereTheyAreToldTo) {
  for (const std::string variable : {"MASTER_ADDR", "MASTER_PORT"}) {
    RankProcesses ranks(2);
    ranks.start(1, "share", "", {variable});
    EXPECT_EQ(ranks.status(1), kUsage);
    EXPECT_THAT(ranks.last_line(1), StartsWith(variable + " is not set"));
  }
  RankProcesses ranks(2);
  ranks.start(1, "share", "", {"MASTER_PORT=29500x"});
  EXPECT_EQ(ranks.status(1), kUsage);
  EXPECT_THAT(ranks.last_line(1), StartsWith("MASTER_PORT = 29500x: must be"));
}

TEST(RanksMeet, NameThoseWhoDoNotCome) {
  RankProcesses ranks(4, kShort);
  ranks.start(0, "share");
  ranks.start(2, "share");
  for (const int rank : {0, 2}) {
    EXPECT_EQ(ranks.status(rank), kRankFailed);
    EXPECT_THAT(ranks.last_line(rank), AnyOf(StartsWith("ranks 1, 3 of 4 have not come"), StartsWith("rank 0, which keeps the ranks' store"), StartsWith("rank 0 has not come")));
  }
  EXPECT_THAT(ranks.last_line(0), StartsWith("ranks 1, 3 of 4 have not come"));
}

TEST(RanksMeet, NameOneThatComesAndDoesNotConnect) {
  RankProcesses ranks(3, kShort);
  ranks.start(0, "share");
  ranks.start(1, "come and go");
  ranks.start(2, "share");
  EXPECT_EQ(ranks.status(1), 0) << ranks.last_line(1);
  for (const int rank : {0, 2}) {
    EXPECT_EQ(ranks.status(rank), kRankFailed);
    EXPECT_THAT(ranks.last_line(rank), AllOf(StartsWith("rank 1 came to "), HasSubstr("did not connect to the others")));
  }
}

TEST(RanksMeet, NameTheFirstWhereItDoesNotCome) {
  RankProcesses ranks(2, kShort);
  ranks.start(1, "share");
  EXPECT_EQ(ranks.status(1), kRankFailed);
  EXPECT_THAT(ranks.last_line(1), AllOf(StartsWith("rank 0 has not come"), HasSubstr("Connection refused")));
}

TEST(RanksMeet, NameAPortThatIsTaken) {
  const core::UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string port = std::to_string(ntohs(address.sin6_port));
  RankProcesses ranks(2);
  ranks.start(0, "share", "", {"MASTER_PORT=" + port});
  EXPECT_EQ(ranks.status(0), kUsage);
  EXPECT_THAT(ranks.last_line(0), StartsWith("MASTER_PORT = " + port + ": rank 0 cannot listen there"));
}

TEST(RanksMeet, NameAnotherJobAtTheirPort) {
  RankProcesses first(2);
  first.start_all("pause");
  first.wait_until_joined();
  const std::string port = "MASTER_PORT=" + std::to_string(first.port());
  RankProcesses second(2);
  second.start(0, "share", "", {port});
  second.start(1, "share", "", {port});
  EXPECT_EQ(second.status(0), kUsage);
  EXPECT_THAT(second.last_line(0), HasSubstr("rank 0 cannot listen there"));
  EXPECT_EQ(second.status(1), kUsage);
  EXPECT_THAT(second.last_line(1), StartsWith("rank 1 has come to 127.0.0.1:" + std::to_string(first.port()) + " already, in another process"));
  // Of more ranks: one that the first job does not have.
  RankProcesses third(3);
  third.start(2, "share", "", {port});
  EXPECT_EQ(third.status(2), kUsage);
  EXPECT_THAT(third.last_line(2), HasSubstr("is of another job, 2 ranks, and this one is of 3"));
}

TEST(RanksMeet, TheirOwnJobAlone) {
  RankProcesses ranks(2, kShort);
  ranks.start(0, "share", "", {"SLURM_JOB_ID=17"});
  ranks.start(1, "share", "", {"SLURM_JOB_ID=18"});
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(ranks.status(rank), kUsage);
    EXPECT_THAT(ranks.last_line(rank), HasSubstr("is of another job, SLURM_JOB_ID = "));
  }
}

TEST(RanksMeet, AgainInTheSameProcesses) {
  RankProcesses ranks(3);
  ranks.start_all("rejoin");
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
}

// As torchrun's agent keeps one, which outlives a restart of the ranks.
class RanksOfALauncher : public testing::Test {
 protected:
  void SetUp() override {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    store_ = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  }
  void start(RankProcesses& ranks, const std::string& what, int restart, const std::string& argument = "") {
    for (int rank = 0; rank < 2; ++rank) {
      ranks.start(rank, what, argument, {"MASTER_PORT=" + std::to_string(store_->getPort()), "TORCHELASTIC_USE_AGENT_STORE=True", "TORCHELASTIC_RESTART_COUNT=" + std::to_string(restart)});
    }
  }
  c10::intrusive_ptr<c10d::TCPStore> store_;
};

TEST_F(RanksOfALauncher, MeetAtItsStoreAndAfterARestartAgain) {
  for (int restart = 0; restart < 3; ++restart) {
    RankProcesses ranks(2);
    start(ranks, "agreements", restart, "3");
    for (int rank = 0; rank < 2; ++rank) EXPECT_EQ(ranks.status(rank), 0) << ranks.last_line(rank);
  }
}

TEST_F(RanksOfALauncher, NameItWhenItIsGone) {
  RankProcesses ranks(2);
  start(ranks, "loop", 0);
  ranks.wait_until_joined();
  store_.reset();
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(ranks.status(rank), kRankFailed);
    EXPECT_THAT(ranks.last_line(rank), AllOf(StartsWith("the launcher, which keeps the ranks' store at 127.0.0.1:"), HasSubstr("is gone")));
  }
}

}  // namespace
}  // namespace gsnake::dist::test
