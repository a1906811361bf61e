// Whole files of a test's folder.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace gsnake::test {

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put(const std::filesystem::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

}  // namespace gsnake::test
