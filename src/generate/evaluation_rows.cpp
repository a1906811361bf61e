#include "generate/evaluation_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "data/json_line.h"
#include "generate/rows.h"

namespace gsnake::generate {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

double characters(const std::string& text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

class Reader {
 public:
  Reader(const std::string& path, const Encode& encode, std::int64_t vocab) : path_(path), encode_(encode), vocab_(vocab) {}

  void add(const Row& row, EvaluationRows& rows) const {
    if (row.object.contains("choices")) {
      rows.choices.push_back(choice_row(row));
    } else {
      rows.texts.push_back({ids_of(row, text_of(path_, row, {"text"})), 1});
      if (rows.texts.back().tokens.empty()) refuse_row(path_, row, "its \"text\" has no tokens");
    }
  }

 private:
  std::vector<std::int64_t> ids_of(const Row& row, const std::string& text) const {
    std::vector<std::int64_t> ids = encode_(text);
    check_ids(path_, row, ids, vocab_);
    return ids;
  }

  std::vector<std::string> choices_of(const Row& row) const {
    const nlohmann::json& list = row.object["choices"];
    if (!list.is_array() || list.size() < 2 || !std::all_of(list.begin(), list.end(), [](const auto& choice) { return choice.is_string() && !choice.template get<std::string>().empty(); }))
      refuse_row(path_, row, "\"choices\" is no list of two texts or more");
    return list.get<std::vector<std::string>>();
  }

  std::size_t answer_of(const Row& row, std::size_t choices) const {
    const auto answer = row.object.find("answer");
    if (answer == row.object.end()) refuse_row(path_, row, "it has no \"answer\", a choice's number from 0");
    if (!answer->is_number_integer()) refuse_row(path_, row, fmt::format("\"answer\" is {}, and a choice's number from 0 is wanted", answer->dump()));
    if (!data::is_integer(*answer) || data::integer(*answer) < 0 || data::integer(*answer) >= static_cast<std::int64_t>(choices))
      refuse_row(path_, row, fmt::format("\"answer\" is {}, and its {} choices are numbered from 0", answer->dump(), choices));
    return static_cast<std::size_t>(data::integer(*answer));
  }

  // Question and choice are one text for the tokenizer; what is behind the question's own tokens is the choice's, with the white space between them, which tokenizers put into the
  // token that follows: as lm-evaluation-harness has it.
  ChoiceRow choice_row(const Row& row) const {
    const std::string question = text_of(path_, row, {"question", "prompt", "context"});
    const std::vector<std::string> choices = choices_of(row);
    ChoiceRow made;
    made.answer = answer_of(row, choices.size());
    const auto end = std::find_if_not(question.rbegin(), question.rend(), is_space).base();
    const std::string stripped(question.begin(), end);
    const std::size_t first = ids_of(row, stripped).size();
    if (first == 0) refuse_row(path_, row, "its question has no tokens, and the tokenizer puts none before a text: a choice needs something before it");
    const bool ends_open = !stripped.empty() && stripped.size() == question.size();
    for (const std::string& choice : choices) {
      const bool needs_space = ends_open && !is_space(choice.front());
      made.choices.push_back({ids_of(row, question + (needs_space ? " " : "") + choice), first});
      if (made.choices.back().tokens.size() <= first) refuse_row(path_, row, fmt::format("the choice {} adds no token to its question", nlohmann::json(choice).dump()));
      made.lengths.push_back(characters(choice));
    }
    return made;
  }

  const std::string& path_;
  const Encode& encode_;
  const std::int64_t vocab_;
};

}  // namespace

EvaluationRows read_evaluation(const std::string& path, const Encode& encode, std::int64_t vocab) {
  const Reader reader(path, encode, vocab);
  EvaluationRows rows;
  for (const Row& row : read_rows(path, R"({"text": "Once"} or {"question": "2 + 2 =", "choices": ["4", "5"], "answer": 0})")) reader.add(row, rows);
  return rows;
}

}  // namespace gsnake::generate
