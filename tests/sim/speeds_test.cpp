#include "sim/speeds.h"

#include <gtest/gtest.h>

namespace gsnake::sim {
namespace {

constexpr std::size_t at(Lane lane) { return static_cast<std::size_t>(lane); }
constexpr std::size_t at(Resource resource) { return static_cast<std::size_t>(resource); }

// Two cores, of which compute takes two and each other lane one.
Machine two_cores() {
  Machine machine;
  machine.capacity[at(Resource::cores)] = 2.0;
  machine.lanes[at(Lane::compute)].uses[at(Resource::cores)] = 2.0;
  machine.lanes[at(Lane::optimizer)].uses[at(Resource::cores)] = 1.0;
  return machine;
}

LaneCounts counts(std::initializer_list<std::pair<Lane, int>> under_way) {
  LaneCounts made{};
  for (const auto& [lane, count] : under_way) made[at(lane)] = count;
  return made;
}

TEST(Speeds, AreFullWhereNothingIsShort) {
  const LaneSpeeds speeds = speeds_of(two_cores(), counts({{Lane::compute, 1}}));
  EXPECT_DOUBLE_EQ(speeds[at(Lane::compute)], 1.0);
  EXPECT_DOUBLE_EQ(speeds[at(Lane::optimizer)], 0.0);
}

TEST(Speeds, FallAlikeForAllWhoNeedWhatIsShort) {
  const LaneSpeeds speeds = speeds_of(two_cores(), counts({{Lane::compute, 1}, {Lane::optimizer, 2}, {Lane::h2d, 1}}));
  EXPECT_DOUBLE_EQ(speeds[at(Lane::compute)], 0.5);
  EXPECT_DOUBLE_EQ(speeds[at(Lane::optimizer)], 0.5);
  EXPECT_DOUBLE_EQ(speeds[at(Lane::h2d)], 1.0);
}

// What one resource holds back leaves more of the others.
TEST(Speeds, OfOthersGrowOnWithWhatIsLeft) {
  Machine machine = two_cores();
  machine.capacity[at(Resource::dram)] = 10.0;
  machine.lanes[at(Lane::optimizer)].uses[at(Resource::dram)] = 40.0;
  const LaneSpeeds speeds = speeds_of(machine, counts({{Lane::compute, 1}, {Lane::optimizer, 1}}));
  EXPECT_DOUBLE_EQ(speeds[at(Lane::optimizer)], 0.25);
  EXPECT_DOUBLE_EQ(speeds[at(Lane::compute)], 0.875);
}

TEST(Speeds, OfComputingFallFurtherWhereItsThreadsWaitForOneAnother) {
  Machine machine = two_cores();
  machine.crowding = 2.0;
  const LaneSpeeds alone = speeds_of(machine, counts({{Lane::compute, 1}}));
  EXPECT_DOUBLE_EQ(alone[at(Lane::compute)], 1.0);
  const LaneSpeeds both = speeds_of(machine, counts({{Lane::compute, 1}, {Lane::optimizer, 1}}));
  EXPECT_DOUBLE_EQ(both[at(Lane::optimizer)], 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(both[at(Lane::compute)], 2.0 / 3.0 / (1.0 + 1.0 / 3.0));
}

TEST(Speeds, OfFavouredLanesGrowFasterUpToTheirOwn) {
  Machine machine = two_cores();
  machine.favour = 2.0;
  const LaneSpeeds one = speeds_of(machine, counts({{Lane::compute, 1}, {Lane::optimizer, 1}}));
  EXPECT_DOUBLE_EQ(one[at(Lane::optimizer)], 1.0);
  EXPECT_DOUBLE_EQ(one[at(Lane::compute)], 0.5);
  const LaneSpeeds two = speeds_of(machine, counts({{Lane::compute, 1}, {Lane::optimizer, 2}}));
  EXPECT_DOUBLE_EQ(two[at(Lane::optimizer)], 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(two[at(Lane::compute)], 1.0 / 3.0);
}

TEST(Speeds, OfTransfersFollowTheCurveAndWhatDrivesDoBothWays) {
  Machine machine;
  const auto reads = at(Lane::ssd_read);
  const auto writes = at(Lane::ssd_write);
  machine.read_curve = {{1.0, 1.0}, {4.0, 3.0}};
  machine.capacity[at(Resource::ssd_read)] = 3.0;
  machine.capacity[at(Resource::ssd_write)] = 2.0;
  machine.capacity[at(Resource::drives)] = 1.5;
  machine.lanes[reads].uses[at(Resource::ssd_read)] = 1.0;
  machine.lanes[reads].uses[at(Resource::drives)] = 1.0 / 3.0;
  machine.lanes[writes].uses[at(Resource::ssd_write)] = 2.0;
  machine.lanes[writes].uses[at(Resource::drives)] = 1.0;
  EXPECT_DOUBLE_EQ(speeds_of(machine, counts({{Lane::ssd_read, 4}}))[reads], 0.75);
  EXPECT_DOUBLE_EQ(speeds_of(machine, counts({{Lane::ssd_read, 2}}))[reads], (1.0 + 2.0 / 3.0) / 2.0);
  const LaneSpeeds both = speeds_of(machine, counts({{Lane::ssd_read, 4}, {Lane::ssd_write, 1}}));
  const double reading = 4.0 * both[reads] / 3.0;  // parts of what they do alone
  EXPECT_NEAR(reading + both[writes], 1.5, 1e-12);
}

// Writes by themselves are twice as fast.
TEST(Speeds, OfTransfersInOneQueueMoveAsManyBytesEach) {
  Machine machine;
  const auto reads = at(Lane::ssd_read);
  const auto writes = at(Lane::ssd_write);
  machine.rates[reads] = 2e9;
  machine.rates[writes] = 4e9;
  machine.capacity[at(Resource::drives)] = 1.0;
  machine.lanes[reads].uses[at(Resource::drives)] = 1.0;
  machine.lanes[writes].uses[at(Resource::drives)] = 1.0;
  for (const auto& [r, w] : {std::pair(16, 16), std::pair(16, 4), std::pair(1, 16)}) {
    const LaneSpeeds both = speeds_of(machine, counts({{Lane::ssd_read, r}, {Lane::ssd_write, w}}));
    EXPECT_NEAR(both[reads] * machine.rates[reads], both[writes] * machine.rates[writes], 1.0);
    EXPECT_NEAR(r * both[reads] + w * both[writes], 1.0, 1e-12);
  }
}

// What is in a drive's queue says nothing of who gets memory's bandwidth.
TEST(Speeds, OfReadsAloneAreAsThoseOfOthersWhereMemoryIsShort) {
  Machine machine;
  const auto reads = at(Lane::ssd_read);
  machine.rates[reads] = 1e9;
  machine.rates[at(Lane::ssd_write)] = 4e9;
  machine.capacity[at(Resource::dram)] = 1.0;
  for (const Lane lane : {Lane::ssd_read, Lane::h2d}) machine.lanes[at(lane)].uses[at(Resource::dram)] = 1.0;
  const LaneSpeeds speeds = speeds_of(machine, counts({{Lane::ssd_read, 1}, {Lane::h2d, 1}}));
  EXPECT_DOUBLE_EQ(speeds[reads], 0.5);
  EXPECT_DOUBLE_EQ(speeds[at(Lane::h2d)], 0.5);
}

}  // namespace
}  // namespace gsnake::sim
