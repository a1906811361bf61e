// A folder for one test, and files in it.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "temporary_folder.h"

namespace gsnake::test {

using TempFolder = TemporaryFolder;

inline void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace gsnake::test
