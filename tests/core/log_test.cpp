#include "core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"

namespace gsnake::core {
namespace {

class Log : public testing::Test {
 protected:
  void TearDown() override { spdlog::set_default_logger(before_); }
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
};

TEST_F(Log, WritesToStderrAndNothingBelowItsLevel) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  set_up_log("warn");
  spdlog::info("too quiet");
  spdlog::warn("loud enough");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(testing::HasSubstr("warning loud enough\n"), testing::Not(testing::HasSubstr("quiet"))));
}

TEST_F(Log, CanBeSetUpAgainAndTurnedOff) {
  set_up_log("trace");
  testing::internal::CaptureStderr();
  set_up_log("off");
  spdlog::critical("nobody hears this");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Log, RefusesAnUnknownLevelAndNamesTheKnownOnes) {
  try {
    set_up_log("verbose");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("'verbose'"), testing::HasSubstr("trace, debug, info, warn, error, off")));
  }
}

}  // namespace
}  // namespace gsnake::core
