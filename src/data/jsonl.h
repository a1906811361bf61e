// Examples for fine-tuning: a JSON object of token ids a line.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/example.h"
#include "data/input_file.h"
#include "data/token_file.h"

namespace gsnake::data {

// Lines as parse_example() takes them, a document each; or as parse_pair() does, two documents each. Empty ones are passed over. Every line is parsed when the file is opened, and again when it is read; what is kept
// is 4 bytes a line and 24 more every 16.
class JsonlFile final : public TokenFile {
 public:
  // answer: 0 of examples; of pairs, the most tokens that an answer has. Throws Error(input), naming line and offset, for a line that is not as
  // above or has an id outside the vocabulary.
  JsonlFile(const std::string& path, std::int64_t vocab, Access access, std::int64_t answer = 0);

  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  [[nodiscard]] std::string format() const override { return holds_pairs() ? "JSONL, pairs" : "JSONL"; }
  [[nodiscard]] std::int64_t tokens() const override { return tokens_; }
  [[nodiscard]] bool lists_documents() const override { return true; }
  [[nodiscard]] bool holds_examples() const override { return true; }
  [[nodiscard]] bool holds_pairs() const override { return answer_ > 0; }
  [[nodiscard]] std::int64_t documents() const override { return static_cast<std::int64_t>(sizes_.size()); }
  [[nodiscard]] std::vector<const InputFile*> inputs() const override { return {&file_}; }
  void read_documents(std::int64_t first, std::span<Document> out) const override;
  void read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const override;

 private:
  struct Place {
    std::int64_t offset = 0;  // of a line
    std::int64_t line = 0;    // its number, from 1
  };
  struct Block {
    Place place;              // of its first example
    std::int64_t tokens = 0;  // before it
  };
  [[nodiscard]] std::size_t per_line() const { return holds_pairs() ? 2 : 1; }
  [[nodiscard]] std::vector<Example> parse(const std::string& text, const Place& place) const;  // per_line() of them
  void add(const std::string& text, const Place& place);
  [[nodiscard]] std::size_t example_of(std::int64_t token, std::int64_t& first) const;  // first: its first token
  [[nodiscard]] std::vector<std::pair<std::string, Place>> lines_of(std::size_t block) const;

  InputFile file_;
  std::int64_t vocab_;
  std::int64_t answer_;
  std::int64_t tokens_ = 0;
  bool counts_ = false;  // the loss counts a token of it
  std::vector<std::uint32_t> sizes_;  // of documents, in tokens
  std::vector<Block> blocks_;
};

}  // namespace gsnake::data
