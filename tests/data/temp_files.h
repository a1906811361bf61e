// A folder of files for one test, removed behind it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "greedysnake/error.h"

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

  // The lowest `width` bytes of each value, lowest first.
  static std::string little_endian(const std::vector<std::int64_t>& values, int width) {
    std::string bytes;
    for (const auto value : values) {
      for (int shift = 0; shift < 8 * width; shift += 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
    }
    return bytes;
  }

  // NAME.bin and NAME.idx of Megatron with a document a list, one sequence each; the path of the .bin. Type code 4 is int32.
  std::string megatron(const std::string& name, const std::vector<std::vector<std::int64_t>>& documents, int code = 4, int width = 4) {
    std::string bin;
    std::string sizes;
    std::string offsets;
    std::string bounds;
    for (const auto& document : documents) {
      bounds += little_endian({static_cast<std::int64_t>(sizes.size() / 4)}, 8);
      sizes += little_endian({static_cast<std::int64_t>(document.size())}, 4);
      offsets += little_endian({static_cast<std::int64_t>(bin.size())}, 8);
      bin += little_endian(document, width);
    }
    const auto count = static_cast<std::int64_t>(documents.size());
    bounds += little_endian({count}, 8);
    text(name + ".idx", std::string("MMIDIDX\0\0", 9) + little_endian({1}, 8) + little_endian({code}, 1) +
                            little_endian({count, count + 1}, 8) + sizes + offsets + bounds);
    return text(name + ".bin", bin);
  }

  static std::string llmc_header(std::uint32_t magic, std::uint32_t version, std::uint32_t count) {
    std::string bytes;
    for (const auto word : {magic, version, count}) {
      for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(word >> shift & 0xff));
    }
    bytes.resize(1024);
    return bytes;
  }

  // The message of the Error(input) that `action` must throw.
  static std::string refusal(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return {};
  }

  std::filesystem::path folder_;
};

}  // namespace gsnake::test
