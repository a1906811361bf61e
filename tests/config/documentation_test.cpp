// docs/config.md says of every key what the table of keys says.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "config/keys.h"

namespace gsnake::config {
namespace {

std::set<std::string> rows_of_the_documentation() {
  const std::string path = GSNAKE_CONFIG_DOCUMENTATION;
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::set<std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `")) rows.insert(line);
  }
  return rows;
}

TEST(ConfigDocumentation, HasTheRowOfEveryKeyAndNoOther) {
  auto rows = rows_of_the_documentation();
  for (const auto& key : keys()) EXPECT_EQ(rows.erase(markdown_row(key)), 1u) << "docs/config.md lacks this row:\n" << markdown_row(key);
  for (const auto& row : rows) ADD_FAILURE() << "docs/config.md describes no key:\n" << row;
}

TEST(ConfigKeys, AreNamedOnceAndHaveAMeaning) {
  const Config defaults;
  std::set<std::string> names;
  for (const auto& key : keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.meaning.empty()) << key.name;
    EXPECT_TRUE(key.in_range(defaults)) << key.name << "'s default is out of its own range";
    EXPECT_EQ(find_key(key.name), &key);
  }
}

}  // namespace
}  // namespace gsnake::config
