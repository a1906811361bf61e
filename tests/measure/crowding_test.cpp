#include "measure/crowding.h"

#include <gtest/gtest.h>

namespace gsnake::measure {
namespace {

// Of a thread that shares its core with a computing one: favour to 1 is how they share it.
TEST(Favour, IsWhatAThreadGetsOfItsCore) {
  EXPECT_DOUBLE_EQ(favour_of(2.0, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(favour_of(1.25, 1.0), 4.0);
  EXPECT_DOUBLE_EQ(favour_of(3.0, 2.0), 2.0);
}

TEST(Favour, IsAtLeastNoneAndAtMostTen) {
  EXPECT_DOUBLE_EQ(favour_of(5.0, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(favour_of(1.0, 1.0), 10.0);
  EXPECT_DOUBLE_EQ(favour_of(0.99, 1.0), 10.0) << "two clocks";
  EXPECT_DOUBLE_EQ(favour_of(0.0, 0.0), 10.0) << "no copy was made";
}

}  // namespace
}  // namespace gsnake::measure
