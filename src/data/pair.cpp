#include "data/pair.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "data/json_line.h"

namespace gsnake::data {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

constexpr std::array kAnswers{"chosen", "rejected"};

class Parser {
 public:
  Parser(const std::string& line, std::int64_t vocab, std::int64_t most, const BadLine& bad)
      : vocab_(vocab), most_(most), bad_(bad), json_(parse_object(line, "{\"prompt\": [1, 2], \"chosen\": [3], \"rejected\": [4]}", bad)) {}

  Pair run() const {
    const auto key = lookalike(json_, [](const std::string&) { return false; });
    if (!key.empty())
      bad_(0, fmt::format("\"{}\" looks as if it said what the loss counts, which of pairs is the answers; take it out", key));
    std::array answers{ids(kAnswers[0]), ids(kAnswers[1])};
    const auto prompt = take_prompt(answers);
    Pair pair;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const auto& answer = answers[i];
      if (answer.empty()) bad_(0, fmt::format("\"{}\" is empty; an answer has one token at least", kAnswers[i]));
      if (static_cast<std::int64_t>(answer.size()) > most_) {
        bad_(0, fmt::format("\"{}\" has {} tokens, more than a row of train.sequence_length = {}; raise it, or leave the line out",
                            kAnswers[i], answer.size(), most_));
      }
      pair[i].ids = prompt;
      pair[i].ids.insert(pair[i].ids.end(), answer.begin(), answer.end());
      pair[i].counted.assign(prompt.size(), 0);
      pair[i].counted.resize(pair[i].ids.size(), 1);
    }
    return pair;
  }

 private:
  Ids ids(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) {
      const bool example = json_.contains("tokens") || json_.contains("input_ids");
      bad_(0, fmt::format("it has no \"{}\": {}train.objective = \"dpo\" takes lines of \"prompt\", \"chosen\" and \"rejected\"", key,
                          example ? "it is an example, and " : ""));
    }
    const bool text = found->is_string() || (found->is_array() && std::any_of(found->begin(), found->end(), [](const Json& value) {
                                               return value.is_string() || value.is_object();
                                             }));
    if (text) bad_(0, fmt::format("\"{}\" is text; scripts/tokenize turns pairs of texts, or of messages, into ids", key));
    if (!found->is_array() || !std::all_of(found->begin(), found->end(), is_integer))
      bad_(0, fmt::format("\"{}\" is not a list of integers", key));
    return ids_of(*found, vocab_, bad_);
  }

  // Takes it off the answers where they begin with it.
  Ids take_prompt(std::array<Ids, 2>& answers) const {
    const auto found = json_.find("prompt");
    if (found != json_.end() && !found->is_null()) {
      auto prompt = ids("prompt");
      if (prompt.empty()) bad_(0, "\"prompt\" is empty; it has one token at least, which the answers' first ones follow");
      return prompt;
    }
    auto& [chosen, rejected] = answers;
    const auto most = std::min(chosen.size(), rejected.size());
    std::size_t size = 0;
    while (size + 1 < most && chosen[size] == rejected[size]) ++size;
    if (size == 0) bad_(0, "it has no \"prompt\", and \"chosen\" and \"rejected\" do not begin with one");
    Ids prompt(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(size));
    for (auto& answer : answers) answer.erase(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(size));
    return prompt;
  }

  const std::int64_t vocab_;
  const std::int64_t most_;
  const BadLine& bad_;
  const Json json_;
};

}  // namespace

Pair parse_pair(const std::string& line, std::int64_t vocab, std::int64_t most, const BadLine& bad) {
  return Parser(line, vocab, most, bad).run();
}

}  // namespace gsnake::data
