// The log: spdlog to stderr. stdout is for results.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace gsnake::core {

// Levels: trace, debug, info, warn, error, off. Throws Error(usage) for another name. `who` stands before every message, if it is not empty.
void set_up_log(const std::string& level, const std::string& who = {});

}  // namespace gsnake::core
