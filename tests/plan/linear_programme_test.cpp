#include "plan/planner/linear_programme.h"

#include <gtest/gtest.h>

namespace gsnake::plan {
namespace {

TEST(LinearProgramme, FindsTheCornerThatCostsLeast) {
  LinearProgramme lp;
  const int x = lp.add_variable(0.0, 10.0, -3.0);
  const int y = lp.add_variable(0.0, 10.0, -2.0);
  lp.add_row({{x, 1.0}, {y, 1.0}}, -LinearProgramme::kNoLimit, 4.0);
  lp.add_row({{x, 1e9}, {y, 3e9}}, 0.0, 6e9);  // of any scale
  const auto found = lp.minimise();
  ASSERT_TRUE(found);
  EXPECT_NEAR((*found)[0], 4.0, 1e-9);
  EXPECT_NEAR((*found)[1], 0.0, 1e-9);
}

TEST(LinearProgramme, IsEmptyWhereNothingSatisfiesAllRows) {
  LinearProgramme lp;
  const int x = lp.add_variable(0.0, 1.0, 1.0);
  lp.add_row({{x, 1.0}}, 2.0, 3.0);
  EXPECT_FALSE(lp.minimise());
  LinearProgramme constant;  // a row without variables
  constant.add_variable(0.0, 1.0, 1.0);
  constant.add_row({}, -LinearProgramme::kNoLimit, -1.0);
  EXPECT_FALSE(constant.minimise());
}

}  // namespace
}  // namespace gsnake::plan
