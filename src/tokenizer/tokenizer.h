// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gsnake::tokenizer {

// Immutable, safe from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids that a model goes on from, with what the tokenizer puts before and behind a text. Throws Error(input) for text that it has no
  // token for.
  [[nodiscard]] virtual std::vector<std::int64_t> encode(std::string_view text) const = 0;
  // The bytes that a token stands for; U+FFFD for an id that it does not have. Part of a character where a token is one.
  [[nodiscard]] virtual std::string decode(std::int64_t id) const = 0;
  // Ids are below this.
  [[nodiscard]] virtual std::int64_t size() const = 0;
};

// `name` as data.tokenizer has it: "bytes" (a byte's id is its value), or the path of a Hugging Face tokenizer.json of byte-level BPE or
// Unigram. Throws Error(input) when the file is missing, malformed, or has a part that is not known here, by its name.
std::unique_ptr<Tokenizer> load(const std::string& name);

}  // namespace gsnake::tokenizer
