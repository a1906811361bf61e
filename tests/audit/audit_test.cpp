#include "audit/audit.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "schedule/support.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

using schedule::test::describe;
using schedule::test::joined;

void expect_sound(Problem (*draw)(std::uint64_t seed)) {
  for (int seed = 0; seed < schedule::test::sweep(300); ++seed) {
    const Problem problem = draw(static_cast<std::uint64_t>(seed));
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(problem));
    const Program program = build_program(problem, schedule::test::random_pools(problem, static_cast<std::uint64_t>(seed)));
    const Findings findings = audit(program, 2, static_cast<std::uint64_t>(seed) * 1000);
    ASSERT_TRUE(findings.empty()) << joined(findings);
  }
}

TEST(Audit, FindsNothingInRandomPrograms) { expect_sound(schedule::test::random_problem); }
TEST(Audit, FindsNothingInProgramsOverTablesOfAnyShape) { expect_sound(schedule::test::random_table); }

TEST(Audit, FindsNothingInProgramsOfOneOfSeveralRanks) { expect_sound(schedule::test::random_ranks); }

TEST(AuditMap, FindsNothingInTheMapsOfRanksThatOwnPartsOfObjects) {
  for (int seed = 0; seed < schedule::test::sweep(300); ++seed) {
    const Problem problem = schedule::test::random_share(static_cast<std::uint64_t>(seed));
    const PoolSizes two_each(make_map(problem, {}).pools.size(), 2);
    const Findings findings = audit_map(make_map(problem, two_each));
    ASSERT_TRUE(findings.empty()) << describe(problem) << '\n' << joined(findings);
  }
}

// Few tasks can wait for much: many orders of one small program of each kind.
TEST(Audit, FindsNothingInManyOrdersOfOneProgram) {
  for (ScheduleKind schedule : {ScheduleKind::vertical, ScheduleKind::horizontal}) {
    const Problem problem = schedule::test::mixed_problem(schedule, 4, 3);
    PoolSizes sizes = minimum_pools(problem);
    for (int extra : {0, 3}) {
      for (int& slots : sizes) slots += extra;
      const Findings findings = audit(build_program(problem, sizes), 150 / schedule::test::kSlowdown, 7);
      ASSERT_TRUE(findings.empty()) << joined(findings);
    }
  }
}

TEST(Audit, FindsNothingInALargeProgram) {
  Problem problem = schedule::test::mixed_problem(ScheduleKind::vertical, 26, 4);
  problem.chunk_elements = kGrain;
  const Findings findings = audit(build_program(problem, minimum_pools(problem)), 1, 1);
  EXPECT_TRUE(findings.empty()) << joined(findings);
}

TEST(CoveringWalks, TakeEveryAllowedPairAndEndFinished) {
  const Problem problem = schedule::test::mixed_problem(ScheduleKind::vertical, 3, 2);
  const Program program = build_program(problem, minimum_pools(problem));
  ASSERT_TRUE(program.delayed);
  std::set<std::pair<Variant, Variant>> taken;
  for (const std::vector<Variant>& walk : covering_walks(program)) {
    EXPECT_EQ(walk.front(), Variant::load);
    EXPECT_TRUE(walk.back() == Variant::finish || walk.back() == Variant::finish_pending);
    for (std::size_t i = 1; i < walk.size(); ++i) taken.insert({walk[i - 1], walk[i]});
  }
  std::set<std::pair<Variant, Variant>> allowed;
  for (Variant previous : schedule::test::built_variants(program)) {
    for (Variant next : schedule::test::built_variants(program)) {
      if (may_follow(previous, next, true)) allowed.insert({previous, next});
    }
  }
  EXPECT_EQ(taken, allowed);
  EXPECT_EQ(allowed.size(), 21U);
}

TEST(MayFollow, LetsOnlyPendingVariantsFollowAStepThatLeftUpdates) {
  for (Variant previous : {Variant::train_first, Variant::train}) {
    for (Variant next : {Variant::train, Variant::validate_pending, Variant::finish_pending}) EXPECT_TRUE(may_follow(previous, next, true));
    for (Variant next : {Variant::load, Variant::train_first, Variant::validate, Variant::finish})
      EXPECT_FALSE(may_follow(previous, next, true));
  }
  for (Variant previous : {Variant::load, Variant::validate_pending, Variant::validate, Variant::finish_pending, Variant::finish}) {
    for (Variant next : {Variant::train, Variant::validate_pending, Variant::finish_pending})
      EXPECT_FALSE(may_follow(previous, next, true));
    for (Variant next : {Variant::train_first, Variant::validate, Variant::finish}) EXPECT_TRUE(may_follow(previous, next, true));
  }
  EXPECT_TRUE(may_follow(Variant::train_first, Variant::train_first, false));
  EXPECT_FALSE(may_follow(Variant::train_first, Variant::train, false));
}

}  // namespace
}  // namespace gsnake::audit
