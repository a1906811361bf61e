// What every rule and format has in common: the same bits on every target and however an object is cut, decay where it belongs, norms on
// the way, and the refusal of weights that can't be stored.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "greedysnake/error.h"
#include "optim/support.h"

namespace gsnake::optim::test {
namespace {

constexpr StepScalars kStep{.learning_rate = 3e-4, .updates = 7, .gradient_factor = 0.37F};

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

// Sanitizers see each path of a kernel in a few sizes.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kSizeStride = 13;
constexpr std::uint32_t kSeeds = 1;
#else
constexpr std::size_t kSizeStride = 1;
constexpr std::uint32_t kSeeds = 4;
#endif

class UpdateOnEveryTarget : public EveryTarget {
 protected:
  // The same update by the forced target and by the scalar reference.
  static void compare(const OptimizerSpec& spec, const StepScalars& scalars, const Values& values, std::span<const DecayRun> runs) {
    SCOPED_TRACE(describe(spec) + ", size " + std::to_string(values.master.size()));
    State actual(spec, values);
    State expected(spec, values);
    const bool good = make_optimizer(spec)->update(scalars, actual.chunk(0, actual.size(), runs));
    EXPECT_EQ(good, make_optimizer(spec, Target::scalar)->update(scalars, expected.chunk(0, expected.size(), runs)));
    expect_same(actual, expected);
  }
};

TEST_P(UpdateOnEveryTarget, EqualsScalarForEverySizeUpToSeveralVectors) {
  for (const OptimizerSpec& spec : all_specs()) {
    for (std::size_t size = 0; size <= 150; size += size < 20 ? 1 : kSizeStride) {
      const std::array runs{DecayRun{0, size, true}};
      compare(spec, kStep, Values::ordinary(size, static_cast<std::uint32_t>(size)), runs);
    }
  }
}

TEST_P(UpdateOnEveryTarget, EqualsScalarForEveryKindOfFloat) {
  constexpr std::size_t kSize = kSizeStride == 1 ? 1 << 15 : 1 << 12;
  const std::array runs{DecayRun{0, kSize / 2, true}, DecayRun{kSize / 2, kSize, false}};
  for (std::uint32_t seed = 0; seed < kSeeds; ++seed) {
    const Values values = Values::adversarial(kSize, seed * 4);
    for (const OptimizerSpec& spec : all_specs()) compare(spec, kStep, values, runs);
  }
}

TEST_P(UpdateOnEveryTarget, EqualsScalarForTinyAndHugeHyperparameters) {
  constexpr std::size_t kSize = 4096;
  const std::array runs{DecayRun{0, kSize, true}};
  const Values values = Values::adversarial(kSize, 99);
  for (OptimizerSpec spec : all_specs()) {
    for (const auto& [beta1, beta2, epsilon, decay] :
         {std::array{0.0, 0.0, 0.0, 0.0}, std::array{0.999, 0.9999, 1e-30, 10.0}, std::array{0.9, 0.999, 1.0, 0.0}}) {
      spec.beta1 = beta1;
      spec.beta2 = beta2;
      spec.epsilon = epsilon;
      spec.weight_decay = decay;
      compare(spec, {1e-3, 1, 1e-20F}, values, runs);
    }
  }
}

TEST_P(UpdateOnEveryTarget, RunsThatStartAnywhereDecayExactlyTheirElements) {
  std::mt19937 random(5);
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const auto optimizer = make_optimizer(spec);
    const auto reference = make_optimizer(spec, Target::scalar);
    for (int round = 0; round < 10; ++round) {
      const std::size_t size = 1 + random() % 1500;
      const std::vector<DecayRun> runs = random_runs(size, random);
      State actual(spec, Values::ordinary(size, random()));
      State expected = actual;
      EXPECT_TRUE(optimizer->update(kStep, actual.chunk(0, size, runs)));
      for (const DecayRun& run : runs) {
        for (std::size_t i = run.begin; i < run.end; ++i) {
          const std::array own{DecayRun{i, i + 1, run.decays}};
          EXPECT_TRUE(reference->update(kStep, expected.chunk(i, i + 1, own)));
        }
      }
      expect_same(actual, expected);
    }
  }
}

TEST_P(UpdateOnEveryTarget, ChunksGiveWhatTheWholeObjectGives) {
  constexpr std::size_t kSize = 5 * kNormBlock;
  std::mt19937 random(11);
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const auto optimizer = make_optimizer(spec);
    const std::vector<DecayRun> runs = random_runs(kSize, random);
    const State start(spec, Values::ordinary(kSize, 3));
    State whole = start;
    EXPECT_TRUE(optimizer->update(kStep, whole.chunk(0, kSize, runs)));
    for (int round = 0; round < 6; ++round) {
      State cut = start;
      for (std::size_t begin = 0; begin < kSize;) {
        const std::size_t blocks = kNormBlock * (1 + random() % 3);
        const std::size_t size = round % 2 == 0 ? blocks : 1 + random() % 3000;  // whole blocks as the runtime cuts, then any
        const std::size_t end = std::min(kSize, begin + size);
        EXPECT_TRUE(optimizer->update(kStep, cut.chunk(begin, end, runs)));
        begin = end;
      }
      expect_same(cut, whole);
    }
  }
}

TEST_P(UpdateOnEveryTarget, ElementsOutsideEveryRunDoNotDecay) {
  constexpr std::size_t kSize = 300;
  const std::array holes{DecayRun{10, 50, true}, DecayRun{90, 131, true}};
  const std::array full{DecayRun{0, 10, false}, DecayRun{10, 50, true}, DecayRun{50, 90, false}, DecayRun{90, 131, true},
                        DecayRun{131, kSize, false}};
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    State actual(spec, Values::ordinary(kSize, 8));
    State expected = actual;
    EXPECT_TRUE(make_optimizer(spec)->update(kStep, actual.chunk(0, kSize, holes)));
    EXPECT_TRUE(make_optimizer(spec, Target::scalar)->update(kStep, expected.chunk(0, kSize, full)));
    expect_same(actual, expected);
  }
}

TEST_P(UpdateOnEveryTarget, NeighboursOfTheChunkStayUntouched) {
  constexpr std::size_t kSize = 200;
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const State start(spec, Values::ordinary(kSize, 21));
    for (std::size_t begin = 0; begin < 40; ++begin) {
      State actual = start;
      const std::size_t end = kSize - 40 + begin;
      EXPECT_TRUE(make_optimizer(spec)->update(kStep, actual.chunk(begin, end, {})));
      const auto outside = [&](const std::vector<std::byte>& now, const std::vector<std::byte>& before) {
        const std::size_t bytes = before.size() / kSize;
        EXPECT_TRUE(std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(begin * bytes), now.begin()));
        EXPECT_TRUE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(end * bytes), before.end(),
                               now.begin() + static_cast<std::ptrdiff_t>(end * bytes)));
      };
      outside(actual.weight, start.weight);
      outside(actual.master, start.master);
      for (std::size_t i = 0; i < start.states.size(); ++i) outside(actual.states[i], start.states[i]);
    }
  }
}

TEST_P(UpdateOnEveryTarget, ZeroPaddingStaysZero) {
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    State state(spec, Values::zero(kNormBlock));
    const State zero = state;
    for (int step = 1; step <= 3; ++step) EXPECT_TRUE(make_optimizer(spec)->update({1e-3, step}, state.chunk(0, kNormBlock, {})));
    expect_same(state, zero);
  }
}

TEST_P(UpdateOnEveryTarget, TheGradientFactorMultipliesTheGradientFirst) {
  constexpr std::size_t kSize = 1000;
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    State actual(spec, Values::ordinary(kSize, 31));
    State expected = actual;
    for (float& g : expected.gradient) g *= kStep.gradient_factor;
    EXPECT_TRUE(make_optimizer(spec)->update(kStep, actual.chunk(0, kSize, {})));
    EXPECT_TRUE(make_optimizer(spec)->update({kStep.learning_rate, kStep.updates}, expected.chunk(0, kSize, {})));
    expect_same(actual, expected);
  }
}

TEST_P(UpdateOnEveryTarget, PartialsAreTheSquareSumsOfTheGradientBeforeItsFactor) {
  constexpr std::size_t kBlocks = 7;
  constexpr std::size_t kSize = kBlocks * kNormBlock;
  std::mt19937 random(41);
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const std::vector<DecayRun> runs = random_runs(kSize, random);
    State actual(spec, Values::ordinary(kSize, 17));
    State expected = actual;
    std::array<double, kBlocks> expected_sums{};
    std::array<double, kBlocks> sums{};
    square_sums(actual.gradient, expected_sums, Target::scalar);
    UpdateChunk chunk = actual.chunk(0, kSize, runs);
    chunk.partials = sums.data();
    EXPECT_TRUE(make_optimizer(spec)->update(kStep, chunk));
    EXPECT_TRUE(make_optimizer(spec, Target::scalar)->update(kStep, expected.chunk(0, kSize, runs)));
    EXPECT_EQ(sums, expected_sums);
    expect_same(actual, expected);
  }
}

// The greatest master that a format takes, and the next float.
std::array<float, 2> edge(WeightFormat format) {
  const float beyond = format == WeightFormat::fp32   ? std::numeric_limits<float>::infinity()
                       : format == WeightFormat::bf16 ? 0x1.ffp127F
                                                      : 65520.0F;
  return {std::nextafter(beyond, 0.0F), beyond};
}

TEST_P(UpdateOnEveryTarget, AMasterThatCannotBeStoredIsReportedWhereverItIs) {
  constexpr std::size_t kSize = 100;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (OptimizerSpec spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const auto optimizer = make_optimizer(spec);
    const auto [last, beyond] = edge(spec.weights);
    const auto update = [&](float master, float gradient, std::size_t at) {
      Values values = Values::zero(kSize);
      values.master[at] = master;
      values.gradient[at] = gradient;
      State state(spec, values);
      return optimizer->update({.learning_rate = 0.0, .updates = 1}, state.chunk(0, kSize, {}));
    };
    for (std::size_t at = 0; at < kSize; ++at) {
      for (const float sign : {1.0F, -1.0F}) {
        ASSERT_TRUE(update(sign * last, 0.0F, at)) << at;
        ASSERT_FALSE(update(sign * beyond, 0.0F, at)) << at;
      }
      ASSERT_FALSE(update(kNan, 0.0F, at)) << at;
      ASSERT_FALSE(update(1.0F, kNan, at)) << at;
    }
  }
}

TEST_P(UpdateOnEveryTarget, RestoringWeightsRecomputesDerivedOnesAndNoOthers) {
  constexpr std::size_t kSize = 333;
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    const State good(spec, Values::ordinary(kSize, 51));
    State state = good;
    if (spec.weights == WeightFormat::fp16) std::ranges::fill(state.weight, std::byte{0x5a});
    make_optimizer(spec)->restore_weight(state.chunk(0, kSize, {}));
    expect_same(state, good);
  }
}

TEST_P(UpdateOnEveryTarget, AddInPlaceEqualsScalarForEverySizeAndValue) {
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

INSTANTIATE_TEST_SUITE_P(Targets, UpdateOnEveryTarget, ::testing::ValuesIn(supported_targets()), target_name);

// Masters take the same way in every format: what differs is only how they are kept.
TEST(WeightFormats, ShareTheMasterAndRoundItIntoTheWeight) {
  constexpr std::size_t kSize = 3000;
  for (OptimizerSpec spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    OptimizerSpec plain = spec;
    plain.weights = WeightFormat::fp32;
    State state(spec, Values::ordinary(kSize, 61));
    State reference(plain, Values::ordinary(kSize, 61));
    for (int step = 1; step <= 20; ++step) {
      ASSERT_TRUE(make_optimizer(spec)->update({1e-3, step}, state.chunk(0, kSize, {})));
      ASSERT_TRUE(make_optimizer(plain)->update({1e-3, step}, reference.chunk(0, kSize, {})));
    }
    const std::vector<float> masters = reference.masters();
    expect_same(state.masters(), masters, "master");
    if (spec.weights == WeightFormat::fp32) continue;
    std::vector<std::uint16_t> rounded(kSize);
    std::vector<std::int16_t> remainder(kSize);
    if (spec.weights == WeightFormat::fp16)
      to_fp16(masters, rounded, Target::scalar);
    else
      split_master(masters, rounded, remainder, Target::scalar);
    EXPECT_THAT(State::view<std::uint16_t>(state.weight), ::testing::ElementsAreArray(rounded));
  }
}

TEST(Optimizers, SayWhatAnElementTakes) {
  for (const OptimizerSpec& spec : all_specs()) {
    const std::size_t states = spec.rule == UpdateRule::adamw || spec.rule == UpdateRule::adam ? 2 : 1;
    const std::uint64_t bytes = spec.moments == MomentFormat::fp32 ? 4 : 2;
    EXPECT_EQ(make_optimizer(spec)->state_bytes(), std::vector<std::uint64_t>(states, bytes)) << describe(spec);
    EXPECT_EQ(make_optimizer(spec)->weight_format(), spec.weights);
  }
  EXPECT_EQ((std::array{weight_bytes(WeightFormat::fp32), weight_bytes(WeightFormat::bf16), weight_bytes(WeightFormat::fp16)}),
            (std::array<std::uint64_t, 3>{4, 2, 2}));
  EXPECT_EQ((std::array{master_bytes(WeightFormat::fp32), master_bytes(WeightFormat::bf16), master_bytes(WeightFormat::fp16)}),
            (std::array<std::uint64_t, 3>{0, 2, 4}));
}

void expect_refusal(const OptimizerSpec& spec, const std::string& part) {
  try {
    (void)make_optimizer(spec);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
  }
}

TEST(Optimizers, RefuseARuleThatIsNone) { expect_refusal({.rule = static_cast<UpdateRule>(17)}, "adamw, adam, lion, sgd"); }

TEST(Optimizers, RefuseHyperparametersOutOfRange) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const double beta : {-0.1, 1.0, kNan}) {
    expect_refusal({.beta1 = beta}, "beta1");
    expect_refusal({.beta2 = beta}, "beta2");
  }
  for (const double value : {-1.0, kNan, std::numeric_limits<double>::infinity()}) {
    expect_refusal({.epsilon = value}, "epsilon");
    expect_refusal({.weight_decay = value}, "weight decay");
  }
}

TEST(Chunks, WithoutOneOfTheirArraysAreRefused) {
  for (const OptimizerSpec& spec : all_specs()) {
    SCOPED_TRACE(describe(spec));
    State state(spec, Values::ordinary(64, 1));
    const auto optimizer = make_optimizer(spec);
    const auto refuses = [&](auto spoil) {
      UpdateChunk chunk = state.chunk(0, 64, {});
      spoil(chunk);
      EXPECT_THROW((void)optimizer->update(kStep, chunk), Error);
    };
    refuses([](UpdateChunk& chunk) { chunk.weight = nullptr; });
    refuses([](UpdateChunk& chunk) { chunk.gradient = nullptr; });
    for (std::size_t i = 0; i < state.states.size(); ++i) refuses([i](UpdateChunk& chunk) { chunk.states[i] = nullptr; });
    if (spec.weights != WeightFormat::fp32) refuses([](UpdateChunk& chunk) { chunk.master = nullptr; });
    double partial = 0.0;
    refuses([&](UpdateChunk& chunk) { chunk.partials = &partial; });  // 64 elements are no block
  }
}

TEST(Spans, OfDifferentSizesAreRefused) {
  std::vector<float> values(64);
  std::array<double, 1> partial{};
  EXPECT_THROW(square_sums(values, partial), Error);
  EXPECT_THROW(add_in_place(values, std::span(values).first(63)), Error);
}

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

}  // namespace
}  // namespace gsnake::optim::test
