#include "run/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

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
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ}) {
    struct sigaction before {};
    struct sigaction after {};
    ::sigaction(number, nullptr, &before);
    { const StopSignals signals; }
    ::sigaction(number, nullptr, &after);
    EXPECT_EQ(after.sa_handler, before.sa_handler) << number;
  }
}

TEST(StopSignals, LeaveAloneWhatIsIgnored) {
  const auto before = ::signal(SIGHUP, SIG_IGN);
  {
    const StopSignals signals;
    ::raise(SIGHUP);
    EXPECT_EQ(signals.requested(), 0);
  }
  ::signal(SIGHUP, before);
}

TEST(StopSignals, MakeAWriteToNobodyFail) {
  const StopSignals signals;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
  EXPECT_EQ(signals.requested(), 0);
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
