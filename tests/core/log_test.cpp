#include "core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "greedysnake/error.h"
#include "greedysnake/log.h"

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

TEST_F(Log, GoesToTheCallersSinkWhileThereIsOne) {
  using Messages = std::vector<std::pair<LogLevel, std::string>>;
  Messages messages;
  set_log_sink([&](LogLevel level, const std::string& message) { messages.emplace_back(level, message); });
  spdlog::debug("too quiet");
  spdlog::info("{} of {}", 1, 2);
  set_log_sink([&](LogLevel level, const std::string& message) { messages.emplace_back(level, "again " + message); }, LogLevel::error);
  spdlog::warn("too quiet now");
  spdlog::error("bad");
  EXPECT_EQ(messages, (Messages{{LogLevel::info, "1 of 2"}, {LogLevel::error, "again bad"}}));
  set_log_sink({});
  EXPECT_EQ(spdlog::default_logger(), before_) << "the program's own logger";
  spdlog::error("to the program's own");
  EXPECT_EQ(messages.size(), 2U);
}

}  // namespace
}  // namespace gsnake::core
