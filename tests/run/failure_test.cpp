#include "run/failure.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "greedysnake/error.h"

namespace gsnake::run {
namespace {

template <typename Exception>
Failure failure_of(const Exception& exception) {
  try {
    throw exception;
  } catch (...) {
    return current_failure();
  }
}

TEST(CurrentFailure, IsAnErrorsOwnMessageAndStatus) {
  const Failure failure = failure_of(Error(ErrorKind::budget, "too small\n  a table"));
  EXPECT_EQ(failure.exit_status, 3);
  EXPECT_EQ(failure.message, "too small\n  a table");
}

TEST(CurrentFailure, OfAnotherLibraryIsOneLineWithoutItsBacktrace) {
  const Failure failure = failure_of(std::runtime_error("mat1 and mat2 do not fit\nException raised from mm\nframe #0"));
  EXPECT_EQ(failure.exit_status, 1);
  EXPECT_NE(failure.message.find("mat1 and mat2 do not fit"), std::string::npos);
  EXPECT_EQ(failure.message.find('\n'), std::string::npos);
  EXPECT_EQ(failure.message.find("frame"), std::string::npos);
}

TEST(CurrentFailure, OfMemoryCountsAsABudgetThatIsTooLarge) {
  const Failure failure = failure_of(std::bad_alloc());
  EXPECT_EQ(failure.exit_status, 3);
  EXPECT_NE(failure.message.find("memory"), std::string::npos);
}

TEST(CurrentFailure, TakesWhatIsNoExceptionToo) { EXPECT_EQ(failure_of(7).exit_status, 1); }

}  // namespace
}  // namespace gsnake::run
