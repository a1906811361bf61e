#include "core/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "greedysnake/error.h"
#include "greedysnake/log.h"

namespace gsnake::core {
namespace {

constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> kLevels{{
    {"trace", spdlog::level::trace},
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warn", spdlog::level::warn},
    {"error", spdlog::level::err},
    {"off", spdlog::level::off},
}};

spdlog::level::level_enum parse_level(const std::string& name) {
  for (const auto& [known, level] : kLevels) {
    if (known == name) return level;
  }
  throw Error(ErrorKind::usage, fmt::format("'{}' is not a log level; choose one of trace, debug, info, warn, error, off", name));
}

LogLevel level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace: return LogLevel::trace;
    case spdlog::level::debug: return LogLevel::debug;
    case spdlog::level::info: return LogLevel::info;
    case spdlog::level::warn: return LogLevel::warn;
    default: return LogLevel::error;
  }
}

class CallerSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CallerSink(LogSink sink) : sink_(std::move(sink)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override { sink_(level_of(message.level), std::string(message.payload.begin(), message.payload.end())); }
  void flush_() override {}

  LogSink sink_;
};

}  // namespace

void set_up_log(const std::string& level, const std::string& who) {
  const spdlog::level::level_enum parsed = parse_level(level);
  auto logger = std::make_shared<spdlog::logger>("gsnake", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %^%l%$ " + (who.empty() ? who : who + ": ") + "%v");
  logger->set_level(parsed);
  // What precedes a crash must not sit in a buffer.
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace gsnake::core

namespace gsnake {

void set_log_sink(LogSink sink, LogLevel least) {
  static std::shared_ptr<spdlog::logger> before;  // the program's own
  if (!before) before = spdlog::default_logger();
  if (!sink) {
    spdlog::set_default_logger(std::exchange(before, nullptr));
    return;
  }
  auto logger = std::make_shared<spdlog::logger>("gsnake", std::make_shared<core::CallerSink>(std::move(sink)));
  logger->set_level(core::kLevels[static_cast<std::size_t>(least)].second);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace gsnake
