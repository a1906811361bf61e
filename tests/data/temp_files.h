// A folder of files for one test, removed behind it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace gsnake::test {

class TempFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-data-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string text(const std::string& name, std::string_view content) {
    const auto path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

  // Little-endian uint16 tokens behind `header`.
  std::string tokens(const std::string& name, const std::vector<int>& ids, const std::string& header = "") {
    std::string bytes = header;
    for (const int id : ids) {
      bytes.push_back(static_cast<char>(id & 0xff));
      bytes.push_back(static_cast<char>(id >> 8));
    }
    return text(name, bytes);
  }

  static std::string llmc_header(std::uint32_t magic, std::uint32_t version, std::uint32_t count) {
    std::string bytes;
    for (const auto word : {magic, version, count}) {
      for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(word >> shift & 0xff));
    }
    bytes.resize(1024);
    return bytes;
  }

  std::filesystem::path folder_;
};

}  // namespace gsnake::test
