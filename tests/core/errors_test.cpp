#include "core/errors.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace gsnake::core {
namespace {

TEST(ThrowStorage, NamesOperationPathReasonAndRemedy) {
  try {
    throw_storage("create", "/ssd/weights", errno_code(ENOSPC), "free some space");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "cannot create /ssd/weights: No space left on device; free some space");
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_EQ(error.exit_status(), 4);
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
  }
}

TEST(ThrowStorage, LeavesOutAnEmptyRemedyAndTakesARule) {
  try {
    throw_storage("open", "/ssd/weights", "it is a folder", "");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "cannot open /ssd/weights: it is a folder");
    EXPECT_FALSE(error.code());
  }
}

TEST(ErrnoCode, TakesTheCallersErrno) {
  errno = EIO;
  EXPECT_EQ(errno_code(), std::errc::io_error);
}

}  // namespace
}  // namespace gsnake::core
