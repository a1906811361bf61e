#include "core/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "greedysnake/error.h"

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
