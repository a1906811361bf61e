// Buffers of random and adversarial floats, and comparisons of bits.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "optim/adamw.h"

namespace gsnake::optim::test {

// Every target that this CPU runs, one after another; the dispatch is restored at the end.
class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { force_target(GetParam()); }
  void TearDown() override { force_target(""); }
};

inline std::string target_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

// The same value, or both not a number: the payload of a NaN carries no meaning here.
inline bool same_value(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

inline void expect_same(std::span<const float> actual, std::span<const float> expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(same_value(actual[i], expected[i])) << what << '[' << i << "]: " << actual[i] << " is not " << expected[i];
  }
}

inline std::vector<float> normal_values(std::size_t size, float scale, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

// Uniform over all 2^32 bit patterns (exponents from denormal to NaN), mixed with the values at which rounding and signs go wrong.
inline std::vector<float> adversarial_values(std::size_t size, std::uint32_t seed) {
  using Limits = std::numeric_limits<float>;
  constexpr float kSpecial[] = {0.0F,
                                -0.0F,
                                Limits::denorm_min(),
                                -Limits::denorm_min(),
                                Limits::min(),
                                -Limits::min(),
                                Limits::max(),
                                -Limits::max(),
                                Limits::infinity(),
                                -Limits::infinity(),
                                Limits::quiet_NaN(),
                                1.0F,
                                -1.0F,
                                1.0F + Limits::epsilon(),
                                1.0F - Limits::epsilon() / 2,
                                0x1.fffffep-127F,
                                1e-20F,
                                -3e19F};
  std::mt19937 random(seed);
  std::vector<float> values(size);
  for (float& value : values) {
    value = random() % 4 == 0 ? kSpecial[random() % std::size(kSpecial)] : std::bit_cast<float>(static_cast<std::uint32_t>(random()));
  }
  return values;
}

// One object's arrays.
struct State {
  std::vector<float> weight;
  std::vector<float> moment1;
  std::vector<float> moment2;
  std::vector<float> gradient;

  static State ordinary(std::size_t size, std::uint32_t seed) {
    State state{normal_values(size, 0.02F, seed), normal_values(size, 1e-3F, seed + 1), normal_values(size, 1e-3F, seed + 2),
                normal_values(size, 1e-3F, seed + 3)};
    for (float& v : state.moment2) v *= v;
    return state;
  }
  static State adversarial(std::size_t size, std::uint32_t seed) {
    return {adversarial_values(size, seed), adversarial_values(size, seed + 1), adversarial_values(size, seed + 2),
            adversarial_values(size, seed + 3)};
  }

  [[nodiscard]] AdamWChunk chunk(std::size_t begin, std::size_t end, std::span<const DecayRun> runs) {
    const std::size_t size = end - begin;
    return {std::span(weight).subspan(begin, size),
            std::span(moment1).subspan(begin, size),
            std::span(moment2).subspan(begin, size),
            std::span(gradient).subspan(begin, size),
            begin,
            runs};
  }
};

inline void expect_same(const State& actual, const State& expected) {
  expect_same(actual.weight, expected.weight, "weight");
  expect_same(actual.moment1, expected.moment1, "moment1");
  expect_same(actual.moment2, expected.moment2, "moment2");
}

}  // namespace gsnake::optim::test
