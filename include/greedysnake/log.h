// Where the library's messages go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace gsnake {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };

// Takes one message, without a newline at its end.
using LogSink = std::function<void(LogLevel level, const std::string& message)>;

// Gives each message of `least` or more to `sink` from now on, one at a time, on whichever thread says it. `sink` must not call the library or throw, and has to be usable until
// another one is set. An empty one: messages go to spdlog's default logger again, as they do unless this is called. Of the whole process: spdlog's default logger, which a
// program may use as well, is replaced meanwhile. Call it while nothing of the library runs.
void set_log_sink(LogSink sink, LogLevel least = LogLevel::info);

}  // namespace gsnake
