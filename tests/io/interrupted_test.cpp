#include "io/interrupted.h"

#include <gtest/gtest.h>

namespace gsnake::io {
namespace {

TEST(RetryInterrupted, RepeatsUntilTheCallIsNotInterrupted) {
  int calls = 0;
  EXPECT_EQ(retry_interrupted([&] {
              errno = EINTR;
              return ++calls < 5 ? -1 : 7;
            }),
            7);
  EXPECT_EQ(calls, 5);
}

TEST(RetryInterrupted, GivesUpWithTheReason) {
  int calls = 0;
  EXPECT_EQ(retry_interrupted([&] {
              ++calls;
              errno = EINTR;
              return -1;
            }),
            -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(calls, kMaxInterruptions + 1);
}

TEST(RetryInterrupted, LeavesOtherFailuresAlone) {
  int calls = 0;
  EXPECT_EQ(retry_interrupted([&] {
              ++calls;
              errno = EIO;
              return -1;
            }),
            -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace gsnake::io
