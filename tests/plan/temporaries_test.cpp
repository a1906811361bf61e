// Bounds of what LibTorch takes.
#include "plan/temporaries.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "schedule/support.h"

namespace gsnake::plan {
namespace {

struct Term {
  std::uint64_t constant = 0;
  std::uint64_t per_token = 0;
};

std::uint64_t peak(const std::vector<Term>& terms, std::int64_t tokens) {
  std::uint64_t most = 0;
  for (const Term& term : terms) most = std::max(most, term.constant + term.per_token * static_cast<std::uint64_t>(tokens));
  return most;
}

TEST(Temporaries, AreNeverBelowWhatIsMeasuredUpToTheLastPoint) {
  schedule::test::Random random(3);
  for (int run = 0; run < 1000; ++run) {
    std::vector<Term> terms;
    for (int i = 0; i < 4; ++i) terms.push_back({random.below(100'000), random.below(1000)});
    std::vector<MeasuredPeak> curve;
    for (const std::int64_t tokens : {7, 14, 80}) curve.push_back({tokens, peak(terms, tokens)});
    for (std::int64_t tokens = 1; tokens <= 80; ++tokens) ASSERT_GE(peak_at(curve, tokens), peak(terms, tokens)) << tokens;
    for (const MeasuredPeak& point : curve) ASSERT_EQ(peak_at(curve, point.tokens), point.bytes);
  }
}

TEST(Temporaries, GoOnAlongTheLastTwoPoints) {
  const std::vector<MeasuredPeak> curve{{10, 1500}, {20, 2500}};
  EXPECT_NEAR(static_cast<double>(peak_at(curve, 200)), 1500.0 + 100.0 * 190.0 * 1.03, 40.0);
  EXPECT_GE(peak_at(curve, 200), 1500U + 100U * 190U);
  EXPECT_GE(peak_at({{10, 1000}}, 100), 10'000U);
}

TEST(Temporaries, HaveRoomForThePeakThatTheirChargeIsOf) {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 4095ULL, 1'000'000ULL, 123'456'789'012ULL}) {
    EXPECT_NEAR(static_cast<double>(peak_within(charge_of(bytes))), static_cast<double>(bytes), 2.0);
    EXPECT_LE(charge_of(peak_within(bytes + (1ULL << 21))), bytes + (1ULL << 21));
  }
  EXPECT_EQ(peak_within(1000), 0U);
}

}  // namespace
}  // namespace gsnake::plan
