// Small files of the kernel's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gsnake::core {

// The first line; "" where it can't be read.
std::string line_of(const std::string& path);
// What stands behind "KEY:" in the line that begins so, without blanks before it; nothing where there is none.
std::optional<std::string> field_of(const std::string& path, const std::string& key);
// The same of a number of kB, in bytes.
std::optional<std::uint64_t> kilobytes_of(const std::string& path, const std::string& key);

}  // namespace gsnake::core
