#include "generate/rows.h"

#include <fmt/format.h>

#include <fstream>

#include "data/json_line.h"
#include "hf/refusal.h"

namespace gsnake::generate {

std::vector<Row> read_rows(const std::string& path, const char* such_as) {
  std::ifstream file(path);
  if (!file.is_open()) hf::refuse(path, "it can't be opened; give a file of one JSON object a line");
  std::vector<Row> rows;
  std::string text;
  for (std::int64_t line = 1; std::getline(file, text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    Row row{{}, line};
    row.object = data::parse_object(text, such_as, [&](std::int64_t, const std::string& why) { refuse_row(path, row, why); });
    rows.push_back(std::move(row));
  }
  if (file.bad()) hf::refuse(path, "reading it failed");
  if (rows.empty()) hf::refuse(path, fmt::format("it has no rows; write objects such as {}, one a line", such_as));
  return rows;
}

void refuse_row(const std::string& path, const Row& row, const std::string& why) { hf::refuse(fmt::format("{}:{}", path, row.line), why); }

std::string text_of(const std::string& path, const Row& row, const std::vector<const char*>& keys) {
  std::string names;
  for (const char* key : keys) {
    names += fmt::format("{}\"{}\"", names.empty() ? "" : " or ", key);
    const auto found = row.object.find(key);
    if (found == row.object.end()) continue;
    if (!found->is_string()) refuse_row(path, row, fmt::format("\"{}\" is no text", key));
    return found->get<std::string>();
  }
  refuse_row(path, row, fmt::format("it has no {}", names));
}

void check_ids(const std::string& path, const Row& row, const std::vector<std::int64_t>& ids, std::int64_t vocab) {
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= vocab) refuse_row(path, row, fmt::format("token id {} is not below model.vocab = {}; use the tokenizer that the model was made with", id, vocab));
  }
}

}  // namespace gsnake::generate
