#include "core/suggest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gsnake::core {
namespace {

TEST(EditDistance, CountsSwapsAsOneEdit) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("steps", "stpes"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Nearest, FindsTheMisspeltWord) {
  const std::vector<std::string> keys{"steps", "seed", "micro_batches", "micro_batch_size", "learning_rate"};
  EXPECT_EQ(nearest("stesp", keys), "steps");
  EXPECT_EQ(nearest("step", keys), "steps");
  EXPECT_EQ(nearest("learning-rate", keys), "learning_rate");
  EXPECT_EQ(nearest("microbatches", keys), "micro_batches");
}

TEST(Nearest, IsEmptyWhenNothingIsNear) {
  const std::vector<std::string> keys{"steps", "seed", "a"};
  EXPECT_EQ(nearest("temperature", keys), "");
  EXPECT_EQ(nearest("b", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("steps", {}), "");
}

TEST(Nearest, TakesTheFirstOfEquals) {
  const std::vector<std::string> keys{"beta1", "beta2"};
  EXPECT_EQ(nearest("beta", keys), "beta1");
}

}  // namespace
}  // namespace gsnake::core
