// Buffers of random and adversarial floats, and comparisons of bits.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "normal_values.h"
#include "optim/optimizer.h"

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

using gsnake::test::normal_values;

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

// Every rule, format of weights and format of moments.
inline std::vector<OptimizerSpec> all_specs() {
  std::vector<OptimizerSpec> specs;
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd}) {
    for (const WeightFormat weights : {WeightFormat::fp32, WeightFormat::bf16, WeightFormat::fp16}) {
      for (const MomentFormat moments : {MomentFormat::fp32, MomentFormat::bf16}) {
        OptimizerSpec spec;
        spec.rule = rule;
        spec.weights = weights;
        spec.moments = moments;
        specs.push_back(spec);
      }
    }
  }
  return specs;
}

inline std::string describe(const OptimizerSpec& spec) {
  const char* weights = spec.weights == WeightFormat::fp32 ? "fp32" : spec.weights == WeightFormat::bf16 ? "bf16" : "fp16";
  return std::string(word_of(spec.rule)) + ", " + weights + " weights, " + (spec.moments == MomentFormat::fp32 ? "fp32" : "bf16") + " moments";
}

// fp32 arrays of one object, from which a State is made in any format.
struct Values {
  std::vector<float> master, moment1, moment2, gradient;

  static Values ordinary(std::size_t size, std::uint32_t seed) {
    Values values{normal_values(size, 0.02F, seed), normal_values(size, 1e-3F, seed + 1), normal_values(size, 1e-3F, seed + 2),
                  normal_values(size, 1e-3F, seed + 3)};
    for (float& v : values.moment2) v *= v;
    return values;
  }
  static Values adversarial(std::size_t size, std::uint32_t seed) {
    return {adversarial_values(size, seed), adversarial_values(size, seed + 1), adversarial_values(size, seed + 2),
            adversarial_values(size, seed + 3)};
  }
  static Values zero(std::size_t size) {
    return {std::vector<float>(size), std::vector<float>(size), std::vector<float>(size), std::vector<float>(size)};
  }
};

// One object's arrays as they are stored.
class State {
 public:
  State(const OptimizerSpec& spec, Values values) : spec_(spec), size_(values.master.size()), gradient(std::move(values.gradient)) {
    weight.resize(size_ * weight_bytes(spec.weights));
    master.resize(size_ * master_bytes(spec.weights));
    put_master(values.master);
    const auto optimizer = make_optimizer(spec);
    for (std::size_t i = 0; i < optimizer->state_bytes().size(); ++i) put_moment(i == 0 ? values.moment1 : values.moment2);
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] UpdateChunk chunk(std::size_t begin, std::size_t end, std::span<const DecayRun> runs) {
    UpdateChunk chunk;
    chunk.weight = weight.data() + begin * weight_bytes(spec_.weights);
    if (!master.empty()) chunk.master = master.data() + begin * master_bytes(spec_.weights);
    for (std::size_t i = 0; i < states.size(); ++i) chunk.states[i] = states[i].data() + begin * moment_bytes(spec_.moments);
    chunk.gradient = gradient.data() + begin;
    chunk.elements = end - begin;
    chunk.first_element = begin;
    chunk.runs = runs;
    return chunk;
  }

  [[nodiscard]] std::vector<float> masters() const {
    std::vector<float> values(size_);
    if (spec_.weights == WeightFormat::bf16) {
      join_master(view<std::uint16_t>(weight), view<std::int16_t>(master), values, Target::scalar);
    } else {
      copy(view<float>(spec_.weights == WeightFormat::fp32 ? weight : master), values);
    }
    return values;
  }
  [[nodiscard]] std::vector<float> moments(std::size_t which) const {
    std::vector<float> values(size_);
    if (spec_.moments == MomentFormat::bf16) {
      widen(WeightFormat::bf16, view<std::uint16_t>(states[which]), values, Target::scalar);
    } else {
      copy(view<float>(states[which]), values);
    }
    return values;
  }
  template <class T>
  [[nodiscard]] static std::span<const T> view(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

 private:
  static void copy(std::span<const float> from, std::vector<float>& to) { std::ranges::copy(from, to.begin()); }
  void put_master(const std::vector<float>& values) {
    auto* halves = reinterpret_cast<std::uint16_t*>(weight.data());
    if (spec_.weights == WeightFormat::bf16) {
      split_master(values, {halves, size_}, {reinterpret_cast<std::int16_t*>(master.data()), size_}, Target::scalar);
      return;
    }
    std::ranges::copy(std::as_bytes(std::span(values)), (spec_.weights == WeightFormat::fp32 ? weight : master).begin());
    if (spec_.weights == WeightFormat::fp16) to_fp16(values, {halves, size_}, Target::scalar);
  }
  // A bf16 moment keeps the upper half of the value.
  void put_moment(const std::vector<float>& values) {
    std::vector<std::byte>& state = states.emplace_back(size_ * moment_bytes(spec_.moments));
    for (std::size_t i = 0; i < size_; ++i) {
      const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16U);
      if (spec_.moments == MomentFormat::fp32)
        std::memcpy(state.data() + i * sizeof(float), &values[i], sizeof(float));
      else
        std::memcpy(state.data() + i * sizeof upper, &upper, sizeof upper);
    }
  }

  OptimizerSpec spec_;
  std::size_t size_;

 public:
  std::vector<float> gradient;
  std::vector<std::byte> weight, master;
  std::vector<std::vector<std::byte>> states;
};

// Every byte of both, but for elements whose master became a NaN: their update was refused, and what else they hold has no meaning.
inline void expect_same(const State& actual, const State& expected) {
  const std::vector<float> masters = expected.masters();
  expect_same(actual.masters(), masters, "master");
  const auto compare = [&](const std::vector<std::byte>& a, const std::vector<std::byte>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    if (a.empty()) return;
    const std::size_t bytes = a.size() / masters.size();
    for (std::size_t i = 0; i < masters.size(); ++i) {
      if (std::isnan(masters[i])) continue;
      ASSERT_EQ(std::memcmp(&a[i * bytes], &b[i * bytes], bytes), 0) << what << '[' << i << ']';
    }
  };
  compare(actual.weight, expected.weight, "weight");
  compare(actual.master, expected.master, "master's bytes");
  for (std::size_t i = 0; i < expected.states.size(); ++i) compare(actual.states[i], expected.states[i], "state");
}

}  // namespace gsnake::optim::test
