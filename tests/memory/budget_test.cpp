#include "memory/budget.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "core/bytes.h"

namespace gsnake::memory {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

TEST(BudgetPlan, AcceptsATotalEqualToTheLimit) {
  BudgetPlan plan("host", 3 * kMiB);
  plan.add("weights", kMiB);
  plan.add("optimizer state", 2 * kMiB);
  EXPECT_EQ(plan.total(), 3 * kMiB);
  EXPECT_TRUE(plan.fits());
}

TEST(BudgetPlan, TellsNeedAndLimitOfWhatDoesNotFit) {
  BudgetPlan plan("host", 4 * kGiB);
  plan.add("activations", kGiB);
  plan.add("optimizer state", 4 * kGiB);
  plan.add("rings", kGiB / 4);
  EXPECT_FALSE(plan.fits());
  EXPECT_EQ(plan.excess(), "host memory: 5.25 GiB needed, memory.host_budget allows 4.00 GiB");
}

TEST(BudgetPlan, ExcessOfOneByteDoesNotShowNeedEqualToLimit) {
  BudgetPlan plan("device", 5 * kGiB / 4 - 1);
  plan.add("slots", 5 * kGiB / 4);
  EXPECT_EQ(plan.excess(), "device memory: 1.25 GiB needed, memory.device_budget allows 1 B less");
}

TEST(BudgetPlan, TableIsSortedByBytesWithDetails) {
  BudgetPlan plan("device", 0);
  plan.add("small", 17, "a few");
  plan.add("nothing", 0);
  plan.add("large", 8 * kMiB, "8 slots of 1.00 MiB");
  EXPECT_EQ(plan.items().size(), 2U);
  EXPECT_EQ(plan.items().front().name, "small");
  EXPECT_EQ(plan.table(), "  large     8.00 MiB  8 slots of 1.00 MiB\n  small         17 B  a few\n");
}

TEST(BudgetPlan, SumsThatOverflowAreRefusedNotWrapped) {
  BudgetPlan plan("host", kGiB);
  plan.add("a", std::numeric_limits<std::uint64_t>::max() - 5);
  plan.add("b", 100);
  EXPECT_EQ(plan.total(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(plan.fits());
}

TEST(FormatBytesAtLeast, ReadsBackAsEnoughButHardlyMore) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bytes = random() >> (random() % 40 + 14);
    const std::uint64_t parsed = core::parse_bytes(format_bytes_at_least(bytes));
    ASSERT_GE(parsed, bytes) << format_bytes_at_least(bytes);
    ASSERT_LE(parsed - bytes, bytes / 100 + 1) << format_bytes_at_least(bytes);
  }
  EXPECT_EQ(format_bytes_at_least(0), "0 B");
  EXPECT_EQ(format_bytes_at_least(kGiB), "1.00 GiB");
  EXPECT_EQ(format_bytes_at_least(kGiB + 1), "1.01 GiB");
  EXPECT_EQ(core::parse_bytes(format_bytes_at_least(kGiB + kGiB / 4)), kGiB + kGiB / 4);
}

}  // namespace
}  // namespace gsnake::memory
