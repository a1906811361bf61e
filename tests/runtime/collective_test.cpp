// Tasks between ranks, which are threads here, each with a device, a store and an executor of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "audit/audit.h"
#include "device/async_device.h"
#include "runtime/meeting.h"
#include "runtime/rig.h"
#include "runtime/shared_program.h"

namespace gsnake::runtime::test {
namespace {

using testing::HasSubstr;

Setup shared_setup(int ranks, int rank, Collective* collective) {
  Setup setup;
  setup.problem = shared_problem(ranks);
  setup.pools = shared_pools(setup.problem);
  setup.build = shared_program;
  setup.seed = 100 + static_cast<std::uint64_t>(rank);
  setup.collective = collective;
  return setup;
}

class Ranks {
 public:
  Ranks(int ranks, bool late) : meeting_(ranks) {
    for (int rank = 0; rank < ranks; ++rank) {
      if (late) {
        devices_.push_back(std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = static_cast<std::uint64_t>(rank + 1)}));
      } else {
        devices_.push_back(device::make_cpu_device());
      }
      collectives_.push_back(meeting_.rank(rank));
    }
  }

  [[nodiscard]] int count() const { return static_cast<int>(devices_.size()); }
  Rig& make(int rank, Collective* collective = nullptr) {
    const auto i = static_cast<std::size_t>(rank);
    rigs_.resize(devices_.size());
    rigs_[i] = std::make_unique<Rig>(shared_setup(count(), rank, collective == nullptr ? collectives_[i].get() : collective), *devices_[i]);
    return *rigs_[i];
  }
  device::Device& device(int rank) { return *devices_[static_cast<std::size_t>(rank)]; }
  void leave(int rank) { collectives_[static_cast<std::size_t>(rank)]->abort(); }
  Rig& rig(int rank) { return *rigs_[static_cast<std::size_t>(rank)]; }

  // On a thread for each rank; what each throws.
  std::vector<std::string> on_each(const std::function<void(int rank)>& work) {
    std::vector<std::string> thrown(devices_.size());
    std::vector<std::thread> threads;
    for (int rank = 0; rank < count(); ++rank) {
      threads.emplace_back([&, rank] {
        try {
          work(rank);
        } catch (const std::exception& error) {
          thrown[static_cast<std::size_t>(rank)] = error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return thrown;
  }

 private:
  Meeting meeting_;
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::vector<std::unique_ptr<Collective>> collectives_;
  std::vector<std::unique_ptr<Rig>> rigs_;
};

std::vector<float> chunk_of(const Rig& rig, std::size_t object, int chunk) {
  std::vector<float> values(schedule::kGrain);
  std::memcpy(values.data(), rig.initial()[object].weights.data() + static_cast<std::size_t>(chunk) * schedule::kGrain * sizeof(float), values.size() * sizeof(float));
  return values;
}

std::vector<float> left_by(Rig& rig, std::size_t object, int chunk) {
  const schedule::Map& map = rig.program().map;
  const auto c = object * kSharedChunks + static_cast<std::size_t>(chunk);
  const std::vector<std::byte> bytes = rig.scratch(map.extents[static_cast<std::size_t>(map.chunks[c].gradient_extent)]);
  std::vector<float> values(schedule::kGrain);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> sum_over_ranks(Ranks& ranks, int chunk) {
  std::vector<float> sum(schedule::kGrain, 0.0F);
  for (int rank = 0; rank < ranks.count(); ++rank) {
    const std::vector<float> values = chunk_of(ranks.rig(rank), 1, chunk);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
}

class CollectiveLane : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static bool late() { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Devices, CollectiveLane, testing::Bool(), [](const auto& one) { return one.param ? "LateDevice" : "CpuDevice"; });

TEST_P(CollectiveLane, SharesThroughSlotsThatAreUsedAgain) {
  for (int count : {1, 2, 4}) {
    SCOPED_TRACE(count);
    Ranks ranks(count, late());
    for (int rank = 0; rank < count; ++rank) ranks.make(rank);
    const auto thrown = ranks.on_each([&](int rank) {
      ranks.rig(rank).load();
      for (int i = 0; i < 3; ++i) ranks.rig(rank).executor().finish();
      ranks.rig(rank).finish();
    });
    for (int rank = 0; rank < count; ++rank) {
      EXPECT_EQ(thrown[static_cast<std::size_t>(rank)], "");
      for (int c = 0; c < kSharedChunks; ++c) {
        EXPECT_EQ(left_by(ranks.rig(rank), 0, c), chunk_of(ranks.rig(c % count), 0, c)) << "gathered, rank " << rank << ", chunk " << c;
        EXPECT_EQ(left_by(ranks.rig(rank), 1, c), sum_over_ranks(ranks, (c + rank) % kSharedChunks)) << "added up, rank " << rank << ", chunk " << c;
      }
    }
  }
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
  for (int i = 0; i < 20; ++i) rig.executor().finish();
  rig.finish();
}

TEST_P(CollectiveLane, AFailureOfItsBackendEndsEveryRank) {
  for (int calls : {0, 5, 12}) {
    Meeting meeting(3);
    Ranks ranks(3, late());
    std::vector<std::unique_ptr<Collective>> links;
    for (int rank = 0; rank < 3; ++rank) {
      links.push_back(meeting.rank(rank));
      if (rank == 1) links.back() = std::make_unique<BrokenLink>(std::move(links.back()), calls);
      ranks.make(rank, links.back().get());
    }
    const auto thrown = ranks.on_each([&](int rank) { run_until_failure(ranks.rig(rank)); });
    EXPECT_EQ(thrown[1], "the link is broken");
    for (const int rank : {0, 2}) EXPECT_EQ(thrown[static_cast<std::size_t>(rank)], "rank 1 has left");
    for (int rank = 0; rank < 3; ++rank) ranks.rig(rank).drop_executor();
  }
}

// The rank that fails elsewhere takes part in nothing any more: the others learn of it where they wait for it.
TEST_P(CollectiveLane, AFailureOfAnotherLaneEndsEveryRank) {
  Ranks ranks(2, late());
  for (int rank = 0; rank < 2; ++rank) ranks.make(rank);
  ASSERT_EQ(::truncate(ranks.rig(1).file_of(store::Kind::weights).c_str(), 0), 0);
  const auto thrown = ranks.on_each([&](int rank) { run_until_failure(ranks.rig(rank)); });
  EXPECT_THAT(thrown[1], HasSubstr("cannot read weights of object "));
  EXPECT_EQ(thrown[0], "rank 1 has left");
  for (int rank = 0; rank < 2; ++rank) ranks.rig(rank).drop_executor();
}

TEST_P(CollectiveLane, StopsWhileItWaitsForARankThatDoesNotCome) {
  for (int pause_us : {0, 200, 3000}) {
    Ranks ranks(2, late());
    Rig& alone = ranks.make(0);
    alone.load();
    alone.executor().finish();
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    alone.drop_executor();
  }
}

// Its collectives are not even ready: what they read is still on its way to the device.
TEST(CollectivePrograms, ARankThatEndsBeforeItsTurnLeavesTheOthers) {
  Ranks ranks(2, true);
  auto& device = dynamic_cast<device::AsyncDevice&>(ranks.device(0));
  for (int rank = 0; rank < 2; ++rank) ranks.make(rank).load();
  device.hold(device::StreamKind::h2d);
  ranks.rig(0).executor().finish();
  std::atomic<bool> told{false};
  std::string thrown;
  std::thread other([&] {
    try {
      ranks.rig(1).executor().finish();
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

TEST(CollectivePrograms, NeedABackendForTheirRanks) {
  const auto device = device::make_cpu_device();
  EXPECT_THROW(Rig(shared_setup(2, 0, nullptr), *device), std::logic_error);
  Meeting meeting(3);
  const auto other = meeting.rank(0);
  EXPECT_THROW(Rig(shared_setup(2, 0, other.get()), *device), std::logic_error);
}

TEST(CollectivePrograms, AreSound) {
  for (int ranks : {1, 2, 4}) {
    const schedule::Problem problem = shared_problem(ranks);
    const schedule::Program program = shared_program(problem, shared_pools(problem));
    const audit::Findings findings = audit::audit(program, 10, 3);
    EXPECT_TRUE(findings.empty()) << schedule::test::joined(findings);
  }
}

}  // namespace
}  // namespace gsnake::runtime::test
