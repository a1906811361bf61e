#include "run/machine.h"

#include <charconv>
#include <fstream>
#include <string_view>
#include <thread>

namespace gsnake::run {
namespace {

// The text behind "key<blanks>:<blanks>" in the first line that starts with `key`.
std::string field_of(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    if (colon != std::string::npos && value != std::string::npos) return line.substr(value);
  }
  return {};
}

std::uint64_t kibibytes_of(const char* path, std::string_view key) {
  const std::string text = field_of(path, key);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value * 1024;
}

}  // namespace

Machine this_machine() {
  return {field_of("/proc/cpuinfo", "model name"), std::thread::hardware_concurrency(), kibibytes_of("/proc/meminfo", "MemTotal")};
}

std::uint64_t peak_rss_bytes() { return kibibytes_of("/proc/self/status", "VmHWM"); }

}  // namespace gsnake::run
