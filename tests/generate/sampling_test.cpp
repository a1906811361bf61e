#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace gsnake::generate {
namespace {

// Probabilities 0.1, 0.4, 0.15, 0.3, 0.05.
const torch::Tensor kLogits = torch::tensor({0.1F, 0.4F, 0.15F, 0.3F, 0.05F}).log();

std::map<std::int64_t, double> frequencies(const SamplingOptions& options, int draws = 4000) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(options.seed);
  std::map<std::int64_t, double> counts;
  for (int i = 0; i < draws; ++i) counts[sample(kLogits, options, generator)] += 1.0 / draws;
  return counts;
}

SamplingOptions options(double temperature, std::int64_t top_k, double top_p) {
  SamplingOptions made;
  made.temperature = temperature;
  made.top_k = top_k;
  made.top_p = top_p;
  return made;
}

TEST(Sampling, DrawsAsTheModelSays) {
  auto drawn = frequencies(options(1.0, 0, 1.0));
  ASSERT_EQ(drawn.size(), 5U);
  EXPECT_NEAR(drawn[1], 0.4, 0.03);
  EXPECT_NEAR(drawn[4], 0.05, 0.02);
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  auto drawn = frequencies(options(1.0, 0, 0.7 - 1e-6));
  ASSERT_EQ(drawn.size(), 2U);
  EXPECT_NEAR(drawn[1], 4.0 / 7, 0.03);
  EXPECT_NEAR(drawn[3], 3.0 / 7, 0.03);
  EXPECT_EQ(frequencies(options(1.0, 0, 0.71)).size(), 3U);
  EXPECT_EQ(frequencies(options(1.0, 0, 0.0)).size(), 1U) << "the likeliest always stays";
}

TEST(Sampling, TopKIsBeforeTopPAndTemperatureBeforeBoth) {
  EXPECT_EQ(frequencies(options(1.0, 3, 1.0)).size(), 3U);
  EXPECT_EQ(frequencies(options(1.0, 3, 0.8)).size(), 2U) << "of three, two reach 0.8: 0.7 / 0.85";
  EXPECT_EQ(frequencies(options(0.01, 0, 1.0)).size(), 1U);
  EXPECT_EQ(frequencies(options(0.0, 0, 0.5)).begin()->first, 1);
}

TEST(Sampling, TheSeedDecides) { EXPECT_EQ(frequencies(options(1.0, 0, 0.9), 50), frequencies(options(1.0, 0, 0.9), 50)); }

}  // namespace
}  // namespace gsnake::generate
