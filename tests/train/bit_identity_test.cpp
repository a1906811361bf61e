// Promise 1: whatever the schedule, the delay, the placement, the number of SSDs and the I/O engine, losses, weights and moments equal those
// of a loop that keeps everything in memory, bit for bit.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <set>

#include "greedysnake/error.h"
#include "io/engine.h"
#include "sweep.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 20;

struct Placement {
  const char* name;
  TierFractions state;
  TierFractions activations;
};
struct Order {
  Schedule schedule;
  MicroBatchOrder order;
};

constexpr std::array kDelays{0.0, 0.25, 0.7, 1.0};
const std::array kPlacements{Placement{"all on ssd", {0, 0}, {0, 0}}, Placement{"all in host memory", {0, 1}, {0, 1}},
                             Placement{"all on the device", {1, 0}, {1, 0}}, Placement{"thirds", {1.0 / 3, 1.0 / 3}, {1.0 / 3, 1.0 / 3}}};
constexpr std::array kEngines{EngineChoice::threads, EngineChoice::io_uring};
constexpr std::array kOrders{Order{Schedule::vertical, MicroBatchOrder::snake}, Order{Schedule::vertical, MicroBatchOrder::ascending},
                             Order{Schedule::horizontal, MicroBatchOrder::ascending}};
constexpr std::array<std::int64_t, 3> kMicroBatches{1, 2, 5};
constexpr std::array kFamilies{"gpt2", "llama"};

// The level of each factor of one run: first what must not matter, then the maths.
enum Factor : std::uint8_t { kDelay, kSpilled, kPlacement, kPaths, kEngine, kOrder, kMicroBatchCount, kFamily, kFactors };
constexpr std::array<std::size_t, kFactors> kLevels{
    kDelays.size(), 2, kPlacements.size(), 2, kEngines.size(), kOrders.size(), kMicroBatches.size(), kFamilies.size()};
using Variation = std::array<std::size_t, kFactors>;

// Every combination of the first five factors, each with a maths such that any three factors meet in all their levels. The coefficients were
// found by search; a test below counts what they cover.
std::vector<Variation> all_runs() {
  std::vector<Variation> runs;
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t d = i % 4;
    const std::size_t p = i / 4 % 4;
    const std::size_t s = i / 16 % 2;
    const std::size_t t = i / 32 % 2;
    const std::size_t e = i / 64;
    runs.push_back({d, s, p, t, e, (2 * d + p + 2 * t + 2 * e) % 3, 2 * (d + s + p + t) % 3, (d + s + p + e) % 2});
  }
  return runs;
}

// What is kept from the forward pass follows from the rest: none, half and all meet each placement, delay and order.
double kept_in(const Variation& run) { return 0.5 * static_cast<double>((run[kDelay] + run[kSpilled] + 2 * run[kPlacement] + run[kPaths]) % 3); }

// How often combinations of the levels of `factors` are missing.
std::size_t missing(const std::vector<Variation>& runs, const std::vector<Factor>& factors) {
  std::size_t wanted = 1;
  for (const Factor factor : factors) wanted *= kLevels[factor];
  std::set<std::vector<std::size_t>> met;
  for (const Variation& run : runs) {
    std::vector<std::size_t> levels;
    for (const Factor factor : factors) levels.push_back(run[factor]);
    met.insert(levels);
  }
  return wanted - met.size();
}

TEST(BitIdentityGrid, HoldsEveryCombinationOfWhatMustNotMatterAndAnyThreeFactorsInAllLevels) {
  const std::vector<Variation> runs = all_runs();
  EXPECT_EQ(missing(runs, {kDelay, kSpilled, kPlacement, kPaths, kEngine}), 0U);
  for (int a = 0; a < kFactors; ++a) {
    for (int b = a + 1; b < kFactors; ++b) {
      for (int c = b + 1; c < kFactors; ++c) {
        EXPECT_EQ(missing(runs, {static_cast<Factor>(a), static_cast<Factor>(b), static_cast<Factor>(c)}), 0U) << "factors " << a << ", " << b << ", " << c;
      }
    }
  }
}

std::string describe(const Variation& run) {
  const Order& order = kOrders[run[kOrder]];
  return std::string(word_of(order.schedule)) + " " + word_of(order.order) + ", delay " + std::to_string(kDelays[run[kDelay]]) + ", " + kPlacements[run[kPlacement]].name +
         ", kept " + std::to_string(kept_in(run)) + (run[kSpilled] != 0 ? ", gradients spilled" : "") + (run[kPaths] != 0 ? ", three paths" : "") + ", engine " + word_of(kEngines[run[kEngine]]);
}

ModelConfig model_of(std::size_t family) { return family == 0 ? small_gpt2() : small_llama(); }

Config config_of(const Variation& run, const TempFolder& folder) {
  Config config = small_config(model_of(run[kFamily]), kMicroBatches[run[kMicroBatchCount]], folder);
  config.train.schedule = kOrders[run[kOrder]].schedule;
  config.train.order = kOrders[run[kOrder]].order;
  config.train.delay = kDelays[run[kDelay]];
  const Placement& placement = kPlacements[run[kPlacement]];
  config.placement.weights = config.placement.optimizer = placement.state;
  config.placement.activations = placement.activations;
  config.placement.gradients = {0.0, run[kSpilled] != 0 ? 0.0 : 1.0, false};
  config.placement.kept.device = kept_in(run);
  if (run[kPaths] != 0) {
    config.ssd.paths = {folder / "a", folder / "b", folder / "c"};
    config.ssd.weights = {1.0, 0.5, 0.25};
  }
  config.ssd.engine = kEngines[run[kEngine]];
  // Who updates must not matter either.
  constexpr std::array kUpdates{0.0, 0.3, 1.0};
  config.placement.update.device = kUpdates[(run[kDelay] + run[kPlacement] + run[kOrder]) % kUpdates.size()];
  // Whether steps are committed while others run must not matter either.
  config.run.durability = (run[kDelay] + run[kPlacement] / 2 + run[kPaths]) % 2 == 0 ? Durability::commit : Durability::off;
  return config;
}

// Empty where io_uring is to be had, else what refuses it.
std::string why_no_uring() {
  try {
    const TempFolder folder;
    io::make_engine(io::EngineChoice::io_uring, folder / "", {}, nullptr);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

struct Maths {
  std::size_t family;
  std::size_t micro_batches;
};

class BitIdentity : public testing::TestWithParam<Maths> {
 protected:
  // What training in memory comes to with `config`'s maths; computed once for runs that share it.
  const Outcome& in_memory(const Config& config, const std::vector<Batch>& batches) {
    const bool snake = config.train.order == MicroBatchOrder::snake && config.train.micro_batches > 1;  // one micro-batch has one order
    std::optional<Outcome>& known = in_memory_[snake ? 1 : 0];
    if (!known) known = train_in_memory(config, batches, snake ? reference::Order::snake : reference::Order::ascending);
    return *known;
  }

 private:
  std::array<std::optional<Outcome>, 2> in_memory_;  // ascending, snake
};

TEST_P(BitIdentity, OfLossesWeightsAndMomentsWithTrainingInMemory) {
  const std::vector<Batch> batches = random_batches(kSteps, kMicroBatches[GetParam().micro_batches], model_of(GetParam().family).vocab);
  const std::string no_uring = why_no_uring();
  std::size_t left_out = 0;
  std::size_t number = 0;
  const auto stride = static_cast<std::size_t>(sweep(2, 1));
  for (const Variation& run : all_runs()) {
    if (++number % stride != 0) continue;
    if (run[kFamily] != GetParam().family || run[kMicroBatchCount] != GetParam().micro_batches) continue;
    if (run[kEngine] == 1 && !no_uring.empty()) {
      ++left_out;
      continue;
    }
    SCOPED_TRACE(describe(run));
    const TempFolder folder;
    const Config config = config_of(run, folder);
    const Outcome& expected = in_memory(config, batches);
    ASSERT_NE(expected.losses.front(), expected.losses.back());
    ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(config, batches), expected));
  }
  if (left_out > 0) GTEST_SKIP() << left_out << " runs with io_uring were left out: " << no_uring;
}

// Threads are part of the maths: both sides have two.
TEST_P(BitIdentity, WithTwoComputeThreads) {
  const std::vector<Batch> batches = random_batches(5, kMicroBatches[GetParam().micro_batches], model_of(GetParam().family).vocab);
  const TempFolder folder;
  Config config = config_of({2, 1, 3, 0, 0, GetParam().micro_batches, GetParam().micro_batches, GetParam().family}, folder);
  config.train.compute_threads = 2;
  SCOPED_TRACE(word_of(config.train.schedule));
  expect_equal(train_streamed(config, batches), in_memory(config, batches));
}

std::vector<Maths> all_maths() {
  std::vector<Maths> maths;
  for (std::size_t family = 0; family < kFamilies.size(); ++family) {
    for (std::size_t m = 0; m < kMicroBatches.size(); ++m) maths.push_back({family, m});
  }
  return maths;
}

INSTANTIATE_TEST_SUITE_P(Maths, BitIdentity, testing::ValuesIn(all_maths()), [](const auto& instance) {
  return std::string(kFamilies[instance.param.family]) + "_m" + std::to_string(kMicroBatches[instance.param.micro_batches]);
});

}  // namespace
}  // namespace gsnake::test
