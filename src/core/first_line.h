// LibTorch's messages go on with a backtrace.
#pragma once

#include <string>

namespace gsnake::core {

[[nodiscard]] inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace gsnake::core
