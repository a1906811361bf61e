// Byte quantities as people write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gsnake::core {

// "4 GiB", "512MiB", "1.5 GB", "4096": binary and decimal units, case as written by SI and IEC. Throws Error(usage) that shows the text.
std::uint64_t parse_bytes(std::string_view text);

// "4.00 GiB", "512.00 MiB", "17 B".
std::string format_bytes(std::uint64_t bytes);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
constexpr std::uint64_t ceil_div(std::uint64_t value, std::uint64_t divisor) { return (value + divisor - 1) / divisor; }

}  // namespace gsnake::core
