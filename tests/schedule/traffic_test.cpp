#include "schedule/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "greedysnake/error.h"
#include "support.h"

namespace gsnake::schedule {
namespace {

constexpr std::array<Lane, 7> kMovingLanes{Lane::compute, Lane::h2d, Lane::d2h, Lane::ssd_read, Lane::ssd_write, Lane::optimizer, Lane::collective};

void expect_equal(const Graph& graph, const Bytes& formula) {
  for (Lane lane : kMovingLanes) {
    EXPECT_EQ(graph.lane_bytes(lane), formula.on(lane))
        << kVariantNames[static_cast<std::size_t>(graph.variant)] << ' ' << kLaneNames[static_cast<std::size_t>(lane)];
  }
}

void expect_formulas(Problem (*draw)(std::uint64_t seed)) {
  for (int seed = 0; seed < test::sweep(1000); ++seed) {
    const Problem problem = draw(static_cast<std::uint64_t>(seed));
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + test::describe(problem));
    const Program program = build_program(problem, minimum_pools(problem));
    expect_equal(program.graph(Variant::validate), validation_traffic(problem).total());
    if (problem.trains())
      expect_equal(program.graph(program.delayed ? Variant::train : Variant::train_first), training_traffic(problem).total());
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST(StepTraffic, EqualsWhatGraphsMoveOnEveryLane) { expect_formulas(test::random_problem); }
TEST(StepTraffic, EqualsWhatGraphsOverTablesOfAnyShapeMove) { expect_formulas(test::random_table); }
TEST(StepTraffic, EqualsWhatTheGraphsOfOneOfSeveralRanksMove) { expect_formulas(test::random_ranks); }

std::uint64_t elements(const Problem& p, int object) { return p.object(object).elements; }

// The rows of the design: bytes per parameter and step in fp32, all on SSD.
Problem on_ssd(double delay, bool tied, double gradients_host) {
  Problem p;
  for (std::uint64_t grains : {100, 200, 200, 50}) add_unit(p, {.elements = grains * kGrain});
  if (tied) p.units.back().objects.push_back(0);
  p.activation_bytes = 4096;
  p.ids_bytes = 64;
  p.micro_batches = 4;
  p.delay = delay;
  p.activations = {1.0, 0.0};
  p.gradients_host = gradients_host;
  return p;
}

struct Row {
  double delay = 0.0;
  bool tied = false;
  double gradients_host = 1.0;
  std::array<std::uint64_t, 3> read{};  // per parameter: embedding, block, head
  std::array<std::uint64_t, 3> written{};
};

TEST(StepTraffic, IsTheDesignsTableWithEverythingOnSsd) {
  for (const Row& row : {Row{0.0, false, 1.0, {12, 16, 12}, {12, 12, 12}}, Row{0.5, false, 1.0, {12, 16, 12}, {12, 12, 12}},
                         Row{1.0, false, 1.0, {12, 16, 12}, {12, 12, 12}}, Row{1.0, false, 0.0, {16, 20, 16}, {16, 16, 16}},
                         Row{0.5, false, 0.0, {14, 18, 14}, {14, 14, 14}}, Row{0.5, true, 1.0, {16, 16, 12}, {12, 12, 12}},
                         Row{0.0, true, 0.0, {20, 16, 12}, {16, 12, 12}}}) {
    const Problem p = on_ssd(row.delay, row.tied, row.gradients_host);
    const Bytes total = training_traffic(p).total();
    const std::array<std::uint64_t, 3> parameters{elements(p, 0), elements(p, 1) + elements(p, 2), elements(p, 3)};
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      read += row.read[i] * parameters[i];
      written += row.written[i] * parameters[i];
    }
    EXPECT_EQ(total.ssd_read, read) << "delay " << row.delay << (row.tied ? " tied" : "");
    EXPECT_EQ(total.ssd_write, written) << "delay " << row.delay << (row.tied ? " tied" : "");
  }
}

// Per parameter of a block, all on SSD.
TEST(StepTraffic, IsTheDesignsTableInHalfPrecisionAndUnderGuards) {
  struct Format {
    const char* name;
    std::vector<std::uint64_t> states;  // the master's part first
    bool whole;
    double read, delayed_read, written;  // delayed_read: more where everything is delayed
  };
  const double spilled = 4.0;
  for (const Format& f : {Format{"bf16", {2, 4, 4}, false, 14, 0, 12}, Format{"bf16 with bf16 moments", {2, 2, 2}, false, 10, 0, 8},
                          Format{"fp16", {4, 4, 4}, true, 16, -2, 14}}) {
    for (Guard guard : {Guard::none, Guard::deferred, Guard::speculative}) {
      for (double delay : {0.0, 0.5, 1.0}) {
        if (guard == Guard::deferred && delay < 1.0) continue;
        Problem p = on_ssd(delay, false, 0.0);
        for (Object& object : p.objects) {
          object.weight_bytes = 2;
          object.state_bytes = f.states;
          object.master = true;
          object.weights_derived = f.whole;
        }
        p.guard = guard;
        p.commits = true;
        SCOPED_TRACE(std::string(f.name) + ", delay " + std::to_string(delay) + ", guard " + std::to_string(static_cast<int>(guard)));
        const Bytes with = training_traffic(p).total();
        const double blocks = static_cast<double>(elements(p, 1));
        p.objects.erase(p.objects.begin() + 1);
        p.units.pop_back();
        const Bytes without = training_traffic(p).total();
        EXPECT_DOUBLE_EQ(static_cast<double>(with.ssd_read - without.ssd_read) / blocks, f.read + delay * (f.delayed_read + spilled));
        EXPECT_DOUBLE_EQ(static_cast<double>(with.ssd_write - without.ssd_write) / blocks, f.written + spilled * (guard == Guard::speculative ? 1.0 : delay));
      }
    }
  }
}

TEST(StepTraffic, OfHorizontalReadsBlocksTwiceAMicroBatchAndSumsBetweenThem) {
  Problem p = on_ssd(0.0, false, 0.0);
  p.schedule = ScheduleKind::horizontal;
  p.order = Order::ascending;
  const StepTraffic traffic = training_traffic(p);
  const std::uint64_t blocks = elements(p, 1) + elements(p, 2);
  EXPECT_EQ(traffic.weights.ssd_read, 4 * (elements(p, 0) * 7 + blocks * 8 + elements(p, 3) * 4));
  EXPECT_EQ(traffic.weights.ssd_write, 4 * (elements(p, 0) + blocks + elements(p, 3)));
  EXPECT_EQ(traffic.partial_sums.ssd_read, 4 * 3 * (elements(p, 0) + blocks + elements(p, 3)));
  EXPECT_EQ(traffic.partial_sums.ssd_write, traffic.partial_sums.ssd_read);
}

TEST(StepTraffic, OfActivationsIsSmallerUnderSnakeByOneTensorAVisit) {
  Problem p = on_ssd(0.0, false, 1.0);
  p.activations = {0.0, 0.0};
  p.order = Order::ascending;
  const Bytes ascending = training_traffic(p).activations;
  // Units 1 and 2: checkpoints written once and read twice; unit 3's once; gradients of all three once.
  EXPECT_EQ(ascending.ssd_write, 4096ULL * 4 * (2 + 1 + 3));
  EXPECT_EQ(ascending.ssd_read, 4096ULL * 4 * (2 * 2 + 1 + 3));
  p.order = Order::snake;
  const Bytes snake = training_traffic(p).activations;
  EXPECT_EQ(ascending.ssd_read - snake.ssd_read, 4096ULL * 6);    // one of M a visit, in six visits
  EXPECT_EQ(ascending.ssd_write - snake.ssd_write, 4096ULL * 4);  // of which two are still needed for recomputation
  p.micro_batches = 1;
  EXPECT_EQ(training_traffic(p).activations.ssd_write, 4096ULL * 2);
  EXPECT_EQ(training_traffic(p).activations.ssd_read, 4096ULL * 2);
}

TEST(StepTraffic, CountsPadding) {
  Problem p = on_ssd(0.0, false, 1.0);
  for (Object& object : p.objects) object.elements = 1;
  p.activations = {0.0, 1.0};
  p.activation_bytes = 1;
  const StepTraffic traffic = training_traffic(p);
  EXPECT_EQ(traffic.total().ssd_write, 12 * 4 * kGrain);
  EXPECT_EQ(traffic.activations.d2h % 4096, 0U);
  EXPECT_GT(traffic.activations.d2h, 0U);
}

// What is stored falls as 1/N: together the ranks move over their drives what one rank alone does.
TEST(StepTraffic, OfAllRanksTogetherIsThatOfOneOnTheDrives) {
  for (int seed = 0; seed < test::sweep(300); ++seed) {
    Problem p = test::random_table(static_cast<std::uint64_t>(seed));
    if (!p.trains()) continue;
    p.schedule = ScheduleKind::vertical;
    p.delay = 0.0;
    p.guard = Guard::none;
    p.weights = p.optimizer = {0.0, 0.0};
    p.activations = {0.0, 1.0};
    p.gradients_host = 1.0;
    const Bytes alone = training_traffic(p).total();
    for (int ranks : {2, 3, 4}) {
      Bytes together;
      for (int rank = 0; rank < ranks; ++rank) {
        Problem share = p;
        share_out(share, rank, ranks);
        together += training_traffic(share).total();
      }
      EXPECT_EQ(together.ssd_read, alone.ssd_read) << test::describe(p);
      EXPECT_EQ(together.ssd_write, alone.ssd_write) << test::describe(p);
      EXPECT_EQ(together.optimizer + together.compute, alone.optimizer + alone.compute) << test::describe(p);
      EXPECT_GT(together.collective, 0U);
    }
    EXPECT_EQ(alone.collective, 0U);
  }
}

TEST(StepTraffic, OfARankIsThatOfObjectsAsLargeAsItsParts) {
  int compared = 0;
  for (int seed = 0; seed < test::sweep(1000); ++seed) {
    const Problem share = test::random_share(static_cast<std::uint64_t>(seed));
    if (!std::all_of(share.objects.begin(), share.objects.end(), [](const Object& o) { return o.owned->cells > 0; })) continue;
    Problem whole = share;
    for (Object& object : whole.objects) {
      (object.packed() ? object.packed_bytes : object.elements) = object.owned->cells;
      object.owned.reset();
    }
    EXPECT_EQ(validation_traffic(share).total(), validation_traffic(whole).total()) << test::describe(share);
    if (share.trains()) {
      EXPECT_EQ(training_traffic(share).total(), training_traffic(whole).total()) << test::describe(share);
    }
    ++compared;
  }
  EXPECT_GT(compared, test::sweep(100));
}

// Frozen objects are read and nothing else; below what is trained they are read once, and hidden states are not kept.
TEST(StepTraffic, OfFrozenObjectsIsTheirFetches) {
  Problem p = on_ssd(0.5, false, 0.0);
  p.activations = {0.0, 0.0};
  p.order = Order::ascending;
  p.commits = true;
  const StepTraffic trained = training_traffic(p);
  for (int frozen : {0, 1}) {
    p.objects[static_cast<std::size_t>(frozen)] = {.elements = elements(p, frozen), .trained = false, .weight_bytes = 2, .state_bytes = {}};
  }
  p.objects[1].packed_bytes = 9 * kPackedGrain - 5;
  const StepTraffic traffic = training_traffic(p);
  const std::uint64_t others = elements(p, 2) + elements(p, 3);
  EXPECT_EQ(traffic.weights.ssd_write, 4 * others);
  EXPECT_EQ(traffic.optimizer_state.ssd_write, 8 * others);
  EXPECT_EQ(traffic.gradients.d2h, 4 * others);
  EXPECT_EQ(traffic.weights.ssd_read, 2 * elements(p, 0) + 9 * kPackedGrain + 4 * (2 * elements(p, 2) + elements(p, 3)));
  EXPECT_EQ(traffic.weights.h2d, traffic.weights.ssd_read);
  // Unit 1's checkpoint is not used again, the gradients of the inputs of units 1 and 2 are nobody's.
  EXPECT_EQ(trained.activations.ssd_read - traffic.activations.ssd_read, 4096ULL * 4 * (1 + 2));
  EXPECT_EQ(trained.activations.ssd_write - traffic.activations.ssd_write, 4096ULL * 4 * 2);
}

TEST(StepTraffic, OfASmallTrainedObjectBesideAPackedBaseIsSmall) {
  Problem p = on_ssd(0.0, false, 1.0);
  const std::uint64_t before = training_traffic(p).total().ssd_write;
  for (int unit = 0; unit < p.unit_count(); ++unit) {
    Object& base = p.objects[static_cast<std::size_t>(unit)];
    base = {.elements = base.elements, .trained = false, .packed_bytes = base.elements + base.elements / 16, .state_bytes = {}};
    p.units[static_cast<std::size_t>(unit)].objects.push_back(p.object_count());
    p.objects.push_back({.elements = kGrain});
  }
  EXPECT_EQ(training_traffic(p).total().ssd_write, 4 * 12 * kGrain);
  EXPECT_GT(before, 500 * kGrain);
}

TEST(StepTraffic, RefusesATrainingStepInWhichNothingIsTrained) {
  Problem p = on_ssd(0.0, false, 1.0);
  for (Object& object : p.objects) {
    object.trained = false;
    object.state_bytes.clear();
  }
  EXPECT_THROW(training_traffic(p), Error);
  EXPECT_EQ(validation_traffic(p).weights.ssd_read, 4 * (elements(p, 1) + elements(p, 2) + elements(p, 3)));
}

TEST(ActivationTiers, KeepEveryTiersShareWithinOneTensor) {
  for (int seed = 0; seed < 300; ++seed) {
    const Problem p = test::random_problem(static_cast<std::uint64_t>(seed));
    const std::vector<Tier> tiers = activation_tiers(p);
    const std::array<double, 3> share{p.activations.device, p.activations.host, 1.0 - p.activations.device - p.activations.host};
    std::array<double, 3> count{};
    for (std::size_t i = 0; i < tiers.size(); ++i) {
      ++count[static_cast<std::size_t>(tiers[i])];
      for (std::size_t t = 0; t < 3; ++t)
        ASSERT_LE(std::abs(count[t] - share[t] * static_cast<double>(i + 1)), 1.0 + 1e-6) << test::describe(p);
    }
  }
}

}  // namespace
}  // namespace gsnake::schedule
