// The log: spdlog to stderr. stdout is for results.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace gsnake::core {

// Levels: trace, debug, info, warn, error, off. Throws Error(usage) for another name.
void set_up_log(const std::string& level);

}  // namespace gsnake::core
