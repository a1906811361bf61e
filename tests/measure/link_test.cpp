// What a few collectives say of the link between ranks, which are threads here.
#include "measure/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <thread>

#include "runtime/meeting.h"

namespace gsnake::measure {
namespace {

using runtime::Collective;
using runtime::CollectiveCall;
using runtime::test::Meeting;

TEST(LinkOf, IsWhatTheTimesSay) {
  const LinkTimes times{.smallest = 0.001, .gather = 0.031, .scatter = 0.051, .part_bytes = 1000, .cores = 0.75};
  const sim::LinkProfile link = link_of(times, 4, true);
  EXPECT_DOUBLE_EQ(link.latency, 0.001);
  EXPECT_DOUBLE_EQ(link.per_second, 3000 / 0.030);  // to three others, beside the latency
  EXPECT_DOUBLE_EQ(link.adds, 4000 / 0.020);
  EXPECT_DOUBLE_EQ(link.share.cores, 0.75);
  EXPECT_DOUBLE_EQ(link.share.dram, 4.0);
  EXPECT_DOUBLE_EQ(link.bus, 0.0);
  EXPECT_DOUBLE_EQ(link_of(times, 4, false).share.dram, 0.0);
}

TEST(LinkOf, AddsUpForNothingWhereThatIsNotSeen) {
  for (const double scatter : {0.020, 0.031, 0.0311}) EXPECT_EQ(link_of({0.001, 0.031, scatter, 1000, 0.0}, 2, true).adds, 0.0) << scatter;
}

// A disturbed latency leaves a rate that is one.
TEST(LinkOf, IsARateWhateverTheSmallestCallTook) {
  for (const double smallest : {0.0, 0.031, 1.0}) {
    const double rate = link_of({smallest, 0.031, 0.051, 1000, 0.0}, 2, true).per_second;
    EXPECT_GE(rate, 1000 / 0.031) << smallest;
    EXPECT_LE(rate, 2.001 * 1000 / 0.031) << smallest;
  }
}

// Takes at least as long as such a link does.
class Wire final : public Collective {
 public:
  struct Speed {
    double latency = 0.0;
    double per_second = 1e12;
    double adds = 1e12;
  };
  Wire(std::unique_ptr<Collective> inside, const Speed& speed, int most) : inside_(std::move(inside)), speed_(speed), left_(most) {}

  [[nodiscard]] int ranks() const override { return inside_->ranks(); }
  void abort() noexcept override { inside_->abort(); }
  void run(const device::ComputeScope& scope, const CollectiveCall& call) override {
    if (left_-- == 0) {
      abort();
      throw std::runtime_error("the wire is cut");
    }
    inside_->run(scope, call);
    largest_part = std::max(largest_part, call.part_bytes);
    ++calls;
    const auto part = static_cast<double>(call.part_bytes);
    double seconds = speed_.latency + part * (ranks() - 1) / speed_.per_second;
    if (call.op == schedule::Op::reduce_scatter) seconds += part * ranks() / speed_.adds;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }

  std::uint64_t largest_part = 0;
  int calls = 0;

 private:
  const std::unique_ptr<Collective> inside_;
  const Speed speed_;
  int left_;
};

struct Measured {
  sim::LinkProfile link;
  std::uint64_t largest_part = 0;
  int calls = 0;
  std::string thrown;
};

// `speed_of` and `calls_of` by rank; calls below 0: all that are made.
std::vector<Measured> measure_all(int ranks, std::uint64_t part_bytes, const std::function<Wire::Speed(int)>& speed_of, const std::function<int(int)>& calls_of) {
  Meeting meeting(ranks);
  std::vector<Measured> measured(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Measured& own = measured[static_cast<std::size_t>(rank)];
      const auto device = device::make_cpu_device();
      Wire wire(meeting.rank(rank), speed_of(rank), calls_of(rank));
      try {
        own.link = measure_link(wire, *device, part_bytes);
      } catch (const std::exception& error) {
        own.thrown = error.what();
      }
      own.largest_part = wire.largest_part;
      own.calls = wire.calls;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return measured;
}

constexpr std::uint64_t kMiB = 1ULL << 20;
int all_calls(int) { return -1; }

// Sleeps are never too short: no link comes out faster than it is, but for what the smallest call takes, which is told apart from the bytes.
TEST(MeasuredLink, IsNoFasterThanItIsAndTheSameForAllRanks) {
  for (const int ranks : {2, 3}) {
    const auto measured = measure_all(ranks, 16 * kMiB, [](int) { return Wire::Speed{1e-4, 50e6, 150e6}; }, all_calls);
    for (const Measured& own : measured) {
      EXPECT_EQ(own.thrown, "");
      EXPECT_GE(own.link.latency, 1e-4);
      EXPECT_GT(own.link.per_second, 0.0);
      EXPECT_LE(own.link.per_second, 1.25 * 50e6);
      EXPECT_EQ(own.link.per_second, measured.front().link.per_second);
      EXPECT_EQ(own.link.latency, measured.front().link.latency);
      EXPECT_EQ(own.link.adds, measured.front().link.adds);
      EXPECT_EQ(own.link.share.cores, measured.front().link.share.cores);
      EXPECT_EQ(own.calls, measured.front().calls);
    }
  }
}

// Whoever is ready waits for it.
TEST(MeasuredLink, IsThatOfTheSlowestRank) {
  for (const Measured& own : measure_all(3, kMiB, [](int rank) { return Wire::Speed{1e-4, rank == 1 ? 10e6 : 1e9, 1e12}; }, all_calls)) {
    EXPECT_EQ(own.thrown, "");
    EXPECT_LE(own.link.per_second, 1.25 * 10e6);
  }
}

// What is moved is no more than a run would move, nor what a slow link would be long at.
TEST(MeasuredLink, IsMeasuredWithPartsThatSuitIt) {
  const auto largest = [](std::uint64_t part_bytes, double per_second) {
    const auto measured = measure_all(2, part_bytes, [&](int) { return Wire::Speed{0.0, per_second, 1e12}; }, all_calls);
    EXPECT_EQ(measured[0].thrown, "");
    return measured[0].largest_part;
  };
  EXPECT_LE(largest(100'000, 1e12), 100'000U);
  EXPECT_EQ(largest(1, 1e12), 64U);
  EXPECT_LE(largest(1ULL << 40, 1e12), 32 * kMiB);
  EXPECT_LE(largest(16 * kMiB, 1e6), 80'000U);  // twice what takes 0.04 s
}

TEST(MeasuredLink, EndsForAllWhereARankFails) {
  for (const int calls : {0, 3, 15}) {
    const auto measured = measure_all(3, kMiB, [](int) { return Wire::Speed(); }, [&](int rank) { return rank == 2 ? calls : -1; });
    EXPECT_EQ(measured[2].thrown, "the wire is cut");
    for (const int rank : {0, 1}) EXPECT_EQ(measured[static_cast<std::size_t>(rank)].thrown, "rank 2 has left") << calls;
  }
}

}  // namespace
}  // namespace gsnake::measure
