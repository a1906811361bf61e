// One file of text or tokens, in any of the formats that docs/data.md lists.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/input_file.h"
#include "greedysnake/config.h"

namespace gsnake::data {

// Tokens first, first + 1, ... of a file.
struct Document {
  std::int64_t first = 0;
  std::int64_t tokens = 0;
};

// Safe from several threads at once. All errors are Error(input) and name the file and the byte offset.
class TokenFile {
 public:
  virtual ~TokenFile() = default;

  [[nodiscard]] virtual const std::string& path() const = 0;
  [[nodiscard]] virtual std::string format() const = 0;         // for messages: "llm.c, uint16"
  [[nodiscard]] virtual std::int64_t tokens() const = 0;        // at least 1
  [[nodiscard]] virtual bool is_text() const { return false; }  // bytes that a tokenizer could read
  [[nodiscard]] virtual bool lists_documents() const = 0;       // false: it is a stream whose documents nobody told
  [[nodiscard]] virtual bool holds_examples() const = 0;        // documents that belong in rows of their own
  [[nodiscard]] virtual bool holds_pairs() const { return false; }  // documents 2 i and 2 i + 1 are a prompt with its preferred and its other answer
  [[nodiscard]] virtual std::int64_t documents() const = 0;     // at least 1; 1 where it lists none
  // Documents first, first + 1, ..., which follow one another in the file and may be empty. first + out.size() <= documents().
  virtual void read_documents(std::int64_t first, std::span<Document> out) const = 0;
  // The files that its tokens, documents and mask come from.
  [[nodiscard]] virtual std::vector<const InputFile*> inputs() const = 0;
  // Tokens first, first + 1, ... into `ids`; first + ids.size() <= tokens(). counted[i]: 1 where the loss counts token i as a label, else
  // 0; as many as ids, or none. Blocks. Throws for an id that is not below the vocabulary.
  virtual void read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const = 0;
};

// By its name, and what its first bytes say. answer: 0, or the file must hold preference pairs, whose answers have so many tokens at most. Throws Error(input) when it is missing, empty, malformed or something else than its name says.
std::unique_ptr<TokenFile> open_token_file(const DataFile& file, std::int64_t vocab, Access access, TokenDtype bare = TokenDtype::automatic,
                                           std::int64_t answer = 0);

}  // namespace gsnake::data
