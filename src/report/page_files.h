// The files of page/, embedded when the library is built (embed.cmake).
#pragma once

#include <string_view>

namespace gsnake::report {

[[nodiscard]] std::string_view page_template();
[[nodiscard]] std::string_view page_style();
[[nodiscard]] std::string_view page_script();

}  // namespace gsnake::report
