// Rates as people write them.
#pragma once

#include <optional>
#include <string_view>

namespace gsnake::core {

// Bytes a second, of "200 MB/s" or "200 MB"; nothing where it is no such text.
[[nodiscard]] std::optional<double> byte_rate_of(std::string_view text);

// FLOP a second, of "50 TFLOP/s", "50 TFLOP" or "50 T"; nothing where it is no such text.
[[nodiscard]] std::optional<double> flop_rate_of(std::string_view text);

}  // namespace gsnake::core
