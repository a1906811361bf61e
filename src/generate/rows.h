// JSONL: an object a line, and what is wrong with it by file and line.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gsnake::generate {

struct Row {
  nlohmann::json object;
  std::int64_t line = 0;  // from 1
};

// All rows of a file; empty lines are passed over. such_as: an object as it should be, for messages. Throws Error(input): "cannot use PATH:LINE: WHY", also where there is no row.
std::vector<Row> read_rows(const std::string& path, const char* such_as);
[[noreturn]] void refuse_row(const std::string& path, const Row& row, const std::string& why);
// The row's text under the first of `keys` that it has; refused where it has none, or what it has is no text.
std::string text_of(const std::string& path, const Row& row, const std::vector<const char*>& keys);
// A text of the row, as a tokenizer has it: refused where a token is not below `vocab`.
void check_ids(const std::string& path, const Row& row, const std::vector<std::int64_t>& ids, std::int64_t vocab);

}  // namespace gsnake::generate
