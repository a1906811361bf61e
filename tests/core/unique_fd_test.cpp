#include "core/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace gsnake::core {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesOnceAndOnlyWhatItStillOwns) {
  int first = -1;
  int second = -1;
  {
    UniqueFd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    UniqueFd b(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    first = a.get();
    second = b.get();
    a = std::move(b);
    EXPECT_FALSE(is_open(first));
    EXPECT_TRUE(is_open(second));
    const UniqueFd c(std::move(a));
    EXPECT_EQ(c.get(), second);
    EXPECT_FALSE(a);
  }
  EXPECT_FALSE(is_open(second));
}

TEST(UniqueFd, SurvivesAssignmentToItself) {
  UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd& alias = fd;
  fd = std::move(alias);
  EXPECT_TRUE(is_open(fd.get()));
}

}  // namespace
}  // namespace gsnake::core
