// Durations as people write them.
#pragma once

#include <optional>
#include <string_view>

namespace gsnake::core {

// Seconds, of "60 s", "500 ms", "2 min" or "1 h"; nothing where it is no such text.
[[nodiscard]] std::optional<double> seconds_of(std::string_view text);

}  // namespace gsnake::core
