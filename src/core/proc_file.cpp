#include "core/proc_file.h"

#include <charconv>
#include <fstream>

namespace gsnake::core {

std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<std::string> field_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t after = line.find_first_not_of(" \t", key.size());
    if (after == std::string::npos || line[after] != ':') continue;
    const std::size_t value = line.find_first_not_of(" \t", after + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> kilobytes_of(const std::string& path, const std::string& key) {
  const std::optional<std::string> text = field_of(path, key);
  std::uint64_t value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc()) return std::nullopt;
  return value * 1024;
}

}  // namespace gsnake::core
