#include "run/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gsnake::run {
namespace {

TEST(StopSignals, NoteTheFirstOne) {
  const StopSignals signals;
  EXPECT_EQ(signals.requested(), 0);
  ::raise(SIGTERM);
  EXPECT_EQ(signals.requested(), SIGTERM);
}

TEST(StopSignals, ForgetWhatAnEarlierOneNoted) {
  {
    const StopSignals signals;
    ::raise(SIGINT);
  }
  EXPECT_EQ(StopSignals().requested(), 0);
}

TEST(StopSignals, GiveTheSignalsBack) {
  struct sigaction before {};
  struct sigaction after {};
  ::sigaction(SIGINT, nullptr, &before);
  { const StopSignals signals; }
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST(StopSignals, ASecondOneEndsTheProcessWithTheFirstOnesStatus) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const StopSignals signals;
    ::raise(SIGINT);
    ::raise(SIGTERM);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

}  // namespace
}  // namespace gsnake::run
