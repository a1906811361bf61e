#include "io/replace_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "greedysnake/error.h"
#include "temporary_folder.h"

namespace gsnake::io {
namespace {

void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReplaceFile, ReplacesAndLeavesNothingBesideIt) {
  const test::TemporaryFolder folder;
  put(folder / "page.html", "old");
  replace_file(folder / "page.html", "new");
  EXPECT_EQ(text_of(folder / "page.html"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ReplaceFile, AFailureLeavesNothing) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "page.html");
  put(folder / "page.html/inside", "a folder has the name");
  try {
    replace_file(folder / "page.html", "new");
    FAIL() << "it replaced a folder";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_NE(std::string(error.what()).find(folder / "page.html"), std::string::npos);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace gsnake::io
