// What a run is given before its first step is what it was promised: for any problem and any budgets.
#include "plan/memory_plan.h"

#include <gtest/gtest.h>

#include "device/device.h"
#include "greedysnake/error.h"
#include "runtime/memory_image.h"
#include "schedule/support.h"

namespace gsnake::plan {
namespace {

using schedule::test::Random;

bool is_slots_or_home(const MemoryItem& item) { return item.name.starts_with("slots for ") || item.detail == "kept there by placement"; }

std::uint64_t planned(const MemoryPlan& plan, const std::string& tier, bool (*counts)(const MemoryItem&)) {
  std::uint64_t bytes = 0;
  for (const MemoryItem& item : plan.items) bytes += item.tier == tier && counts(item) ? item.bytes : 0;
  return bytes;
}

// Slots and homes are all that a block of memory holds, and they were charged to the byte.
void expect_allocated_as_planned(const MemoryPlan& plan, const schedule::Problem& problem) {
  const auto device = device::make_cpu_device();
  const runtime::MemoryImage image(schedule::make_map(problem, plan.pools), *device);
  EXPECT_EQ(image.host_block().bytes(), planned(plan, "host", is_slots_or_home));
  EXPECT_EQ(image.device_block().bytes(), planned(plan, "device", is_slots_or_home));
}

TEST(MemoryPlanTest, FitsTheBudgetsOrHasTheFewestSlotsAndIsWhatIsAllocated) {
  int refused = 0;
  int more_than_fewest = 0;
  constexpr int kProblems = 200;
  for (int seed = 0; seed < kProblems; ++seed) {
    const schedule::Problem problem = schedule::test::random_problem(static_cast<std::uint64_t>(seed));
    SCOPED_TRACE(schedule::test::describe(problem));
    Random random(static_cast<std::uint64_t>(seed) + 1000);
    MemoryConfig budgets;
    budgets.host_budget = (1ULL << random.between(16, 24)) + random.below(4096);
    budgets.device_budget = (1ULL << random.between(16, 24)) + random.below(4096);
    const Overheads overheads{random.below(100'000), "", random.coin() ? random.below(100'000) : 0};
    const MemoryPlan plan = plan_memory(budgets, problem, overheads);
    if (plan.fits(budgets)) {
      const auto any = [](const MemoryItem&) { return true; };
      EXPECT_LE(plan.host_bytes, budgets.host_budget);
      EXPECT_LE(plan.device_bytes, budgets.device_budget);
      EXPECT_EQ(plan.host_bytes, planned(plan, "host", any));
      EXPECT_EQ(plan.device_bytes, planned(plan, "device", any));
      more_than_fewest += plan.pools != schedule::minimum_pools(problem) ? 1 : 0;
      expect_allocated_as_planned(plan, problem);
      EXPECT_NO_THROW(schedule::build_program(problem, plan.pools));
    } else {
      EXPECT_EQ(plan.pools, schedule::minimum_pools(problem));
      ++refused;
    }
  }
  EXPECT_GT(refused, kProblems / 10);
  EXPECT_LT(refused, kProblems * 9 / 10);
  EXPECT_GT(more_than_fewest, kProblems / 10);
}

}  // namespace
}  // namespace gsnake::plan
