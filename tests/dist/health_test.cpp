// What a rank concludes from what it knows of the others. Time is made up.
#include "dist/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dist/record.h"

namespace gsnake::dist {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int kLink = 2;

// Rank 1 of three, which beat as long as they are told to.
class HealthTest : public testing::Test {
 protected:
  void pass(Span span, std::vector<int> beating = {0, 1, 2}) {
    for (Span passed{}; passed < span; passed += 500ms) {
      time_ += 500ms;
      for (const int rank : beating) ++record(rank).beat;
      health_.saw(records_, time_);
    }
  }
  Record& record(int rank) { return records_[static_cast<std::size_t>(rank)]; }
  std::optional<Verdict> verdict(const std::vector<Waiting>& waiting = {}) { return health_.verdict(waiting, time_); }
  std::string said(const std::vector<Waiting>& waiting = {}) { return verdict(waiting).value_or(Verdict{}).message; }

  static HealthOptions options() {
    HealthOptions options;
    options.rank = 1;
    options.count = 3;
    options.timeout = 60s;
    options.place = "host:1";
    return options;
  }
  Time time_{100s};
  Health health_{options(), time_};
  std::vector<Record> records_{3};
};

TEST_F(HealthTest, ConvictsNobodyAsLongAsAllBeat) {
  pass(100s);
  EXPECT_FALSE(verdict({{kLink, 3}}));
  EXPECT_TRUE(health_.quiet().empty());
}

TEST_F(HealthTest, ConvictsWhoGivesNoBeatForTheTimeout) {
  pass(59s, {0, 1});
  EXPECT_FALSE(verdict());
  EXPECT_THAT(health_.quiet(), ElementsAre(2));
  pass(1s, {0, 1});
  EXPECT_EQ(verdict()->rank, 2);
  EXPECT_THAT(said(), StartsWith("rank 2 gave no sign of life for 60 s"));
}

TEST_F(HealthTest, AClosedConnectionOfOneThatBeatsNoMoreSettlesItAtOnce) {
  pass(1s, {0, 1});
  health_.gone(2);
  EXPECT_FALSE(verdict()) << "it may say why yet";
  pass(1s, {0, 1});
  EXPECT_THAT(said(), StartsWith("rank 2 is gone"));
}

TEST_F(HealthTest, ABrokenConnectionOfOneThatBeatsIsTheNetworks) {
  health_.suspect(2, "reset by peer", time_);
  pass(4s);
  EXPECT_FALSE(verdict());
  pass(1s);
  EXPECT_THAT(said(), StartsWith("the connection to rank 2 broke: reset by peer"));
}

TEST_F(HealthTest, AReasonComesBeforeWhatIsConcluded) {
  health_.suspect(0, "reset by peer", time_);
  record(2).state = State::failed;
  record(2).message = "the drive is full";
  pass(1s, {1});
  health_.gone(0);
  pass(100s, {1});
  EXPECT_EQ(verdict()->rank, 2);
  EXPECT_THAT(said(), StartsWith("rank 2 failed: the drive is full"));
}

TEST_F(HealthTest, SaysWhatAnotherSaysOfAThird) {
  record(0).state = State::stopped;
  record(0).culprit = 2;
  record(0).message = "rank 2 gave no sign of life";
  pass(500ms);
  EXPECT_EQ(verdict()->rank, 2);
  EXPECT_EQ(said(), "rank 2 gave no sign of life");
}

TEST_F(HealthTest, SaysThatItIsTheOneWhomAnotherHasGivenUp) {
  record(0).state = State::stopped;
  record(0).culprit = 1;
  record(0).message = "rank 1 gave no sign of life";
  pass(500ms);
  EXPECT_THAT(said(), AllOf(StartsWith("the other ranks have given up this one"), HasSubstr("rank 0 says: rank 1 gave no sign of life")));
}

TEST_F(HealthTest, WhoHasLeftIsMissedOnlyInCallsThatItHasNotDone) {
  record(2).state = State::left;
  record(2).links[kLink] = {4, false};
  pass(100s, {0, 1});
  EXPECT_FALSE(verdict({{kLink, 3}})) << "its bytes are on their way";
  EXPECT_THAT(said({{kLink, 4}}), StartsWith("rank 2 has left"));
}

TEST_F(HealthTest, WhoHasLeftALinkAloneMaySayWhy) {
  record(2).links[kLink] = {4, true};
  pass(4s);
  EXPECT_FALSE(verdict({{kLink, 4}}));
  pass(4s);
  EXPECT_FALSE(verdict({{kLink, 4}})) << "waited for since a moment ago";
  pass(1s);
  EXPECT_THAT(said({{kLink, 4}}), StartsWith("rank 2 has left"));
}

TEST_F(HealthTest, TheStoresKeeperIsConvictedForAllWhenNothingIsHeard) {
  pass(10s, {1, 2});
  time_ += 60s;
  EXPECT_EQ(verdict()->rank, 0);
  EXPECT_THAT(said(), StartsWith("rank 0 gave no sign of life for 60 s"));
}

TEST_F(HealthTest, AStoreThatEndsConvictsItsKeeperUnlessThatHasLeft) {
  pass(1s);
  health_.lost_store();
  EXPECT_THAT(said(), StartsWith("rank 0 is gone"));

  Health other(options(), time_);
  record(0).state = State::left;
  other.saw(records_, time_ += 1s);
  other.lost_store();
  EXPECT_FALSE(other.verdict({}, time_ += 1h));
}

TEST_F(HealthTest, TimeInWhichItStoodStillItselfCountsForNobody) {
  pass(1s);
  time_ += 1h;
  health_.was_away(1h, time_);
  pass(59s, {1});
  EXPECT_FALSE(verdict());
}

TEST_F(HealthTest, OthersWhoAreGoneAfterItStoodStillHaveGoneOnWithoutIt) {
  time_ += 1h;
  health_.was_away(1h, time_);
  health_.lost_store();
  EXPECT_EQ(verdict()->rank, 1);
  EXPECT_THAT(said(), StartsWith("rank 1, this one, stood still for 3600 s"));
}

TEST_F(HealthTest, IsAloneWhenAllOthersHaveEndedInAnyWay) {
  pass(1s);
  EXPECT_FALSE(health_.alone());
  record(0).state = State::stopped;
  pass(2s, {1});
  EXPECT_FALSE(health_.alone());
  health_.gone(2);
  EXPECT_TRUE(health_.alone());
}

TEST(RecordTest, IsReadAsItWasWritten) {
  Record record;
  record.beat = 1ULL << 40;
  record.state = State::stopped;
  record.culprit = -1;
  record.links = {LinkState{1, false}, LinkState{2, true}, LinkState{}, LinkState{1ULL << 63, true}};
  record.message = " a reason of several words ";
  EXPECT_EQ(read_record(written(record)), record);
  EXPECT_EQ(read_record(written(Record{})), Record{});
  EXPECT_THROW(static_cast<void>(read_record("1 2")), std::logic_error);
}

}  // namespace
}  // namespace gsnake::dist
