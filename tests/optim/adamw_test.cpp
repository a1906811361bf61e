#include "optim/adamw.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "greedysnake/error.h"
#include "optim/support.h"

namespace gsnake::optim::test {
namespace {

const AdamWStep kStep = make_adamw_step({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1}, 3e-4, 7);

// Cuts [0, size) at random places into runs that alternate between decaying and not.
std::vector<DecayRun> random_runs(std::size_t size, std::mt19937& random) {
  std::vector<DecayRun> runs;
  bool decays = (random() & 1U) != 0;
  for (std::uint64_t begin = 0; begin < size; decays = !decays) {
    const std::uint64_t end = std::min<std::uint64_t>(size, begin + 1 + random() % 100);
    runs.push_back({begin, end, decays});
    begin = end;
  }
  return runs;
}

using AdamWOnEveryTarget = EveryTarget;

TEST_P(AdamWOnEveryTarget, EqualsScalarForEverySizeUpToSeveralVectors) {
  for (std::size_t size = 0; size <= 200; ++size) {
    const std::array runs{DecayRun{0, size, true}};
    State actual = State::ordinary(size, static_cast<std::uint32_t>(size));
    State expected = actual;
    adamw_update(kStep, actual.chunk(0, size, runs));
    adamw_update(kStep, expected.chunk(0, size, runs), Target::scalar);
    expect_same(actual, expected);
  }
}

TEST_P(AdamWOnEveryTarget, EqualsScalarForEveryKindOfFloat) {
  constexpr std::size_t kSize = 1 << 16;
  const std::array runs{DecayRun{0, kSize / 2, true}, DecayRun{kSize / 2, kSize, false}};
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    State actual = State::adversarial(kSize, seed * 4);
    State expected = actual;
    adamw_update(kStep, actual.chunk(0, kSize, runs));
    adamw_update(kStep, expected.chunk(0, kSize, runs), Target::scalar);
    expect_same(actual, expected);
  }
}

TEST_P(AdamWOnEveryTarget, EqualsScalarForTinyAndHugeHyperparameters) {
  constexpr std::size_t kSize = 4096;
  const std::array runs{DecayRun{0, kSize, true}};
  for (const AdamWHyper& hyper :
       {AdamWHyper{0.0, 0.0, 0.0, 0.0}, AdamWHyper{0.999, 0.9999, 1e-30, 10.0}, AdamWHyper{0.9, 0.999, 1.0, 0.0}}) {
    const AdamWStep step = make_adamw_step(hyper, 1e-3, 1);
    State actual = State::adversarial(kSize, 99);
    State expected = actual;
    adamw_update(step, actual.chunk(0, kSize, runs));
    adamw_update(step, expected.chunk(0, kSize, runs), Target::scalar);
    expect_same(actual, expected);
  }
}

TEST_P(AdamWOnEveryTarget, RunsThatStartAnywhereDecayExactlyTheirElements) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const std::size_t size = 1 + random() % 1500;
    const std::vector<DecayRun> runs = random_runs(size, random);
    State actual = State::ordinary(size, random());
    State expected = actual;
    adamw_update(kStep, actual.chunk(0, size, runs));
    for (const DecayRun& run : runs) {
      for (std::size_t i = run.begin; i < run.end; ++i) {
        const std::array own{DecayRun{i, i + 1, run.decays}};
        adamw_update(kStep, expected.chunk(i, i + 1, own), Target::scalar);
      }
    }
    expect_same(actual, expected);
  }
}

TEST_P(AdamWOnEveryTarget, ChunksGiveWhatTheWholeObjectGives) {
  constexpr std::size_t kSize = 5 * kNormBlock;
  std::mt19937 random(11);
  const std::vector<DecayRun> runs = random_runs(kSize, random);
  const State start = State::ordinary(kSize, 3);
  State whole = start;
  adamw_update(kStep, whole.chunk(0, kSize, runs));
  for (int round = 0; round < 30; ++round) {
    State cut = start;
    for (std::size_t begin = 0; begin < kSize;) {
      const std::size_t blocks = kNormBlock * (1 + random() % 3);
      const std::size_t size = round % 2 == 0 ? blocks : 1 + random() % 3000;  // whole blocks as the runtime cuts, then any
      const std::size_t end = std::min(kSize, begin + size);
      adamw_update(kStep, cut.chunk(begin, end, runs));
      begin = end;
    }
    expect_same(cut, whole);
  }
}

TEST_P(AdamWOnEveryTarget, ElementsOutsideEveryRunDoNotDecay) {
  constexpr std::size_t kSize = 300;
  State actual = State::ordinary(kSize, 8);
  State expected = actual;
  const std::array holes{DecayRun{10, 50, true}, DecayRun{90, 131, true}};
  const std::array full{DecayRun{0, 10, false}, DecayRun{10, 50, true}, DecayRun{50, 90, false}, DecayRun{90, 131, true},
                        DecayRun{131, kSize, false}};
  adamw_update(kStep, actual.chunk(0, kSize, holes));
  adamw_update(kStep, expected.chunk(0, kSize, full), Target::scalar);
  expect_same(actual, expected);
}

TEST_P(AdamWOnEveryTarget, NeighboursOfTheChunkStayUntouched) {
  constexpr std::size_t kSize = 400;
  for (std::size_t begin = 0; begin < 40; ++begin) {
    const State start = State::ordinary(kSize, 21);
    State actual = start;
    const std::size_t end = kSize - 40 + begin;
    adamw_update(kStep, actual.chunk(begin, end, {}));
    for (std::size_t i = 0; i < kSize; ++i) {
      if (i >= begin && i < end) continue;
      ASSERT_EQ(actual.weight[i], start.weight[i]);
      ASSERT_EQ(actual.moment1[i], start.moment1[i]);
      ASSERT_EQ(actual.moment2[i], start.moment2[i]);
    }
  }
}

TEST_P(AdamWOnEveryTarget, ZeroPaddingStaysZero) {
  State state{std::vector<float>(kNormBlock), std::vector<float>(kNormBlock), std::vector<float>(kNormBlock),
              std::vector<float>(kNormBlock)};
  const State zero = state;
  for (int step = 1; step <= 3; ++step) adamw_update(make_adamw_step({}, 1e-3, step), state.chunk(0, kNormBlock, {}));
  expect_same(state, zero);
}

TEST_P(AdamWOnEveryTarget, AddInPlaceEqualsScalarForEverySizeAndValue) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{63}, std::size_t{65536}}) {
    std::vector<float> actual = adversarial_values(size, 1);
    std::vector<float> expected = actual;
    const std::vector<float> source = adversarial_values(size, 2);
    add_in_place(actual, source);
    add_in_place(expected, source, Target::scalar);
    expect_same(actual, expected, "sum");
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AdamWOnEveryTarget, ::testing::ValuesIn(supported_targets()), target_name);

TEST(Targets, EndWithScalarAndHaveOneThatRunsHere) {
  const std::vector<std::string> targets = supported_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(targets.back(), "scalar");
  EXPECT_EQ(std::count(targets.begin(), targets.end(), "scalar"), 1);
}

TEST(Targets, NoneWithoutNativeFusedMultiplyAdd) {
  EXPECT_THAT(supported_targets(), ::testing::Each(::testing::AllOf(::testing::Ne("SSSE3"), ::testing::Ne("SSE4"), ::testing::Ne("SCALAR"),
                                                                    ::testing::Ne("EMU128"))));
}

TEST(Targets, ForcingAnUnknownOneNamesThoseThatRunHere) {
  try {
    force_target("AVX9");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("AVX9"), ::testing::HasSubstr("scalar")));
  }
}

TEST(Spans, OfDifferentSizesAreRefused) {
  State state = State::ordinary(64, 1);
  AdamWChunk chunk = state.chunk(0, 64, {});
  chunk.gradient = chunk.gradient.first(63);
  EXPECT_THROW(adamw_update(kStep, chunk), Error);
  std::array<double, 1> partial{};
  EXPECT_THROW(square_sums(std::span(state.gradient), partial), Error);
  EXPECT_THROW(add_in_place(state.weight, std::span(state.gradient).first(63)), Error);
}

}  // namespace
}  // namespace gsnake::optim::test
