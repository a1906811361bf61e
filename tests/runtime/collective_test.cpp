// Tasks between ranks, which are threads here, each with a device, a store and an executor of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "device/async_device.h"
#include "runtime/journey.h"
#include "runtime/ranks.h"

namespace gsnake::runtime::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class CollectiveLane : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static bool late() { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Devices, CollectiveLane, testing::Bool(), [](const auto& one) { return one.param ? "LateDevice" : "CpuDevice"; });

// Every rank's results, and what it stores, are those of one loop in memory over all ranks' micro-batches.
void expect_trains_as_in_memory(const Setup& whole, std::uint64_t seed, int count, bool late, Tally& tally) {
  const std::string name = "seed " + std::to_string(seed) + ", ranks " + std::to_string(count) + ": " + describe(whole);
  SCOPED_TRACE(name);
  Ranks ranks(count, late);
  std::vector<std::unique_ptr<Journey>> journeys;
  for (int rank = 0; rank < count; ++rank) {
    Rig& rig = ranks.make(whole, rank);
    journeys.push_back(std::make_unique<Journey>(rig, rig.program().map.problem, seed));
  }
  const auto thrown = ranks.on_each([&](int rank) {
    SCOPED_TRACE(name + ", rank " + std::to_string(rank));
    journeys[static_cast<std::size_t>(rank)]->run(8);
  });
  EXPECT_THAT(thrown, testing::Each(""));
  for (const auto& journey : journeys) {
    for (const auto& [kind, steps] : journey->tally()) tally[kind] += steps;
  }
}

TEST_P(CollectiveLane, RanksTrainAsOneLoopInMemoryDoes) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= seeds(14) && !HasFailure(); ++seed) {
    const auto whole = seed % 2 == 0 ? random_table_setup(seed) : random_setup(seed);
    expect_trains_as_in_memory(whole, seed, 2 + static_cast<int>(seed % 3), late(), tally);
  }
  expect_each_kind(tally, 14);
}

class BrokenLink final : public Collective {
 public:
  BrokenLink(std::unique_ptr<Collective> inside, int calls) : inside_(std::move(inside)), left_(calls) {}
  [[nodiscard]] int ranks() const override { return inside_->ranks(); }
  void run(const device::ComputeScope& scope, const CollectiveCall& call) override {
    if (left_-- == 0) throw std::runtime_error("the link is broken");
    inside_->run(scope, call);
  }
  void abort() noexcept override { inside_->abort(); }

 private:
  const std::unique_ptr<Collective> inside_;
  int left_;
};

void run_until_failure(Rig& rig) {
  rig.load();
  for (int i = 0; i < 20; ++i) rig.train();
  rig.finish();
}

TEST_P(CollectiveLane, AFailureOfItsBackendEndsEveryRank) {
  for (int calls : {0, 5, 12}) {
    Ranks ranks(3, late());
    BrokenLink broken(ranks.meeting().rank(1), calls);
    for (int rank = 0; rank < 3; ++rank) ranks.make(ssd_setup(), rank, rank == 1 ? &broken : nullptr);
    const auto thrown = ranks.on_each([&](int rank) { run_until_failure(ranks.rig(rank)); });
    EXPECT_EQ(thrown[1], "the link is broken");
    for (const int rank : {0, 2}) EXPECT_EQ(thrown[static_cast<std::size_t>(rank)], "rank 1 has left");
    for (int rank = 0; rank < 3; ++rank) ranks.rig(rank).drop_executor();
  }
}

// The rank that fails elsewhere takes part in nothing any more: the others learn of it where they wait for it.
TEST_P(CollectiveLane, AFailureOfAnotherLaneEndsEveryRank) {
  Ranks ranks(2, late());
  for (int rank = 0; rank < 2; ++rank) ranks.make(ssd_setup(), rank);
  ASSERT_EQ(::truncate(ranks.rig(1).file_of(store::Kind::weights).c_str(), 0), 0);
  const auto thrown = ranks.on_each([&](int rank) { run_until_failure(ranks.rig(rank)); });
  EXPECT_THAT(thrown[1], HasSubstr("cannot read weights of object "));
  EXPECT_EQ(thrown[0], "rank 1 has left");
  for (int rank = 0; rank < 2; ++rank) ranks.rig(rank).drop_executor();
}

TEST_P(CollectiveLane, StopsWhileItWaitsForARankThatDoesNotCome) {
  for (int pause_us : {0, 200, 3000}) {
    Ranks ranks(2, late());
    Rig& alone = ranks.make(ssd_setup(), 0);
    alone.load();
    alone.train();
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    alone.drop_executor();
  }
}

// Its collectives are not even ready: what they read is still on its way to the device.
TEST(CollectivePrograms, ARankThatEndsBeforeItsTurnLeavesTheOthers) {
  Ranks ranks(2, true);
  auto& device = dynamic_cast<device::AsyncDevice&>(ranks.device(0));
  for (int rank = 0; rank < 2; ++rank) ranks.make(ssd_setup(), rank).load();
  device.hold(device::StreamKind::h2d);
  ranks.rig(0).train();
  std::atomic<bool> told{false};
  std::string thrown;
  std::thread other([&] {
    try {
      ranks.rig(1).train();
      ranks.rig(1).finish();
    } catch (const std::exception& error) {
      thrown = error.what();
    }
    told = true;
  });
  std::thread ending([&] { ranks.rig(0).drop_executor(); });
  for (int i = 0; i < 20'000 && !told; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(told) << "it still waits";
  device.resume(device::StreamKind::h2d);
  ending.join();
  ranks.leave(0);
  other.join();
  EXPECT_EQ(thrown, "rank 0 has left");
}

// Another lane has nothing to do with ranks, and waits for nobody: it learns from whoever watches them.
TEST(CollectivePrograms, AnInterruptedRankEndsWithWhatItIsTold) {
  Ranks ranks(2, true);
  for (int rank = 0; rank < 2; ++rank) ranks.make(ssd_setup(), rank).load();
  ranks.rig(0).train();
  std::thread watcher([&] { ranks.rig(0).executor().interrupt(std::make_exception_ptr(std::runtime_error("rank 1 is gone"))); });
  const auto thrown = ranks.on_each([&](int rank) {
    if (rank == 0) ranks.rig(0).finish();
  });
  watcher.join();
  EXPECT_EQ(thrown[0], "rank 1 is gone");
  for (int rank = 0; rank < 2; ++rank) ranks.rig(rank).drop_executor();
}

TEST(CollectivePrograms, NeedABackendForTheirRanks) {
  const auto device = device::make_cpu_device();
  auto own = ssd_setup();
  schedule::share_out(own.problem, 0, 2);
  own.pools = schedule::minimum_pools(own.problem);
  EXPECT_THROW(Rig(own, *device), std::logic_error);
  Meeting two(2);
  Meeting three(3);
  const auto collective = two.rank(0);
  const auto others = three.rank(0);
  const auto agreement = two.agreement(0);
  own.agreement = agreement.get();
  EXPECT_THROW(Rig(own, *device), std::logic_error);
  own.collective = others.get();
  EXPECT_THROW(Rig(own, *device), std::logic_error);
  own.collective = collective.get();
  EXPECT_NO_THROW(Rig(own, *device));
}

}  // namespace
}  // namespace gsnake::runtime::test
