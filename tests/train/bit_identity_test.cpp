// Promise 1: whatever the schedule, the delay, the placement, the number of SSDs and the I/O engine, losses and weights equal those of a
// loop that keeps everything in memory, bit for bit.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "train/small_run.h"

namespace gsnake::test {
namespace {

constexpr std::int64_t kSteps = 20;

struct Maths {
  const char* family;
  std::int64_t micro_batches;
  const char* schedule;
  const char* order;
};

std::string name_of(const Maths& maths) {
  return std::string(maths.family) + "_" + maths.schedule + "_" + maths.order + "_m" + std::to_string(maths.micro_batches);
}

struct Placement {
  const char* name;
  TierFractions state;
  TierFractions activations;
};

constexpr std::array kDelays{0.0, 0.25, 0.7, 1.0};
const std::array kPlacements{Placement{"all on ssd", {0, 0}, {0, 0}}, Placement{"all in host memory", {0, 1}, {0, 1}},
                             Placement{"all on the device", {1, 0}, {1, 0}},
                             Placement{"thirds", {1.0 / 3, 1.0 / 3}, {1.0 / 3, 1.0 / 3}}};

class BitIdentity : public testing::TestWithParam<Maths> {
 protected:
  [[nodiscard]] Config config(const TempFolder& folder) const {
    const Maths& maths = GetParam();
    Config config = small_config(std::string(maths.family) == "gpt2" ? small_gpt2() : small_llama(), maths.micro_batches, folder);
    config.train.schedule = maths.schedule;
    config.train.order = maths.order;
    return config;
  }
};

void expect_equal(const Outcome& streamed, const Outcome& in_memory, const std::string& what) {
  ASSERT_EQ(streamed.losses.size(), in_memory.losses.size());
  for (std::size_t i = 0; i < in_memory.losses.size(); ++i) {
    ASSERT_EQ(streamed.losses[i], in_memory.losses[i]) << what << ": loss of step " << i + 1;
    ASSERT_NEAR(streamed.grad_norms[i], in_memory.grad_norms[i], 1e-9 * in_memory.grad_norms[i]) << what << ": gradient norm of step " << i + 1;
  }
  ASSERT_EQ(streamed.weights.size(), in_memory.weights.size());
  for (std::size_t unit = 0; unit < in_memory.weights.size(); ++unit) {
    ASSERT_EQ(streamed.weights[unit].size(), in_memory.weights[unit].size());
    ASSERT_EQ(std::memcmp(streamed.weights[unit].data(), in_memory.weights[unit].data(), in_memory.weights[unit].size() * sizeof(float)), 0)
        << what << ": weights of unit " << unit;
  }
}

// Well-mixed bits from where in the grid a run is.
std::uint64_t mixed(std::uint64_t value) {
  value = (value + 0x9E3779B97F4A7C15ULL) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

// Every maths meets each delay under two placements and each placement under two delays; spilled gradients, three paths, the engine and
// the slots are drawn for each run.
TEST_P(BitIdentity, OfLossesAndWeightsWithTrainingInMemory) {
  const TempFolder reference_folder;
  const Config base = config(reference_folder);
  const std::vector<Batch> batches = random_batches(kSteps, base.train.micro_batches, base.model.vocab);
  const reference::Order order = base.train.order == "snake" ? reference::Order::snake : reference::Order::ascending;
  const Outcome in_memory = train_in_memory(base, batches, order);
  ASSERT_NE(in_memory.losses.front(), in_memory.losses.back());
  const std::string maths = name_of(GetParam());
  const std::uint64_t place = std::accumulate(maths.begin(), maths.end(), std::uint64_t{0}, [](std::uint64_t sum, char c) { return 131 * sum + c; });
  for (std::size_t d = 0; d < kDelays.size(); ++d) {
    for (std::size_t p = 0; p < kPlacements.size(); ++p) {
      if ((d + p + place) % 2 != 0) continue;
      const double delay = kDelays[d];
      const Placement& placement = kPlacements[p];
      const std::uint64_t draw = mixed(16 * place + 4 * d + p);
      const TempFolder folder;
      Config streamed = config(folder);
      streamed.train.delay = delay;
      streamed.placement.weights = streamed.placement.optimizer = placement.state;
      streamed.placement.activations = placement.activations;
      const bool spilled = (draw & 1) != 0;
      const bool three_paths = (draw & 2) != 0;
      streamed.placement.gradients = {0.0, spilled ? 0.0 : 1.0, false};
      if (three_paths) {
        streamed.ssd.paths = {folder / "a", folder / "b", folder / "c"};
        streamed.ssd.weights = {1.0, 0.5, 0.25};
      }
      streamed.ssd.engine = (draw & 4) != 0 ? "auto" : "threads";
      streamed.run.durability = (draw & 8) != 0 ? "off" : "commit";
      const std::string what = name_of(GetParam()) + ", delay " + std::to_string(delay) + ", " + placement.name + (spilled ? ", spilled" : "") +
                               (three_paths ? ", three paths" : "") + ", engine " + streamed.ssd.engine + ", durability " + streamed.run.durability;
      SCOPED_TRACE(what);
      ASSERT_NO_FATAL_FAILURE(expect_equal(train_streamed(streamed, batches), in_memory, what));
    }
  }
}

std::vector<Maths> all_maths() {
  std::vector<Maths> maths;
  for (const char* family : {"gpt2", "llama"}) {
    for (std::int64_t micro_batches : {1, 2, 5}) {
      maths.push_back({family, micro_batches, "vertical", "snake"});
      maths.push_back({family, micro_batches, "vertical", "ascending"});
      maths.push_back({family, micro_batches, "horizontal", "ascending"});
    }
  }
  return maths;
}

INSTANTIATE_TEST_SUITE_P(Maths, BitIdentity, testing::ValuesIn(all_maths()), [](const auto& instance) { return name_of(instance.param); });

}  // namespace
}  // namespace gsnake::test
