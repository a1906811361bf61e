// Text that JSON can hold.
#pragma once

#include <string>

namespace gsnake::core {

[[nodiscard]] bool is_utf8(const std::string& text);
// As a JSON string, with U+FFFD for what is not UTF-8: for messages.
[[nodiscard]] std::string quoted(const std::string& text);

}  // namespace gsnake::core
