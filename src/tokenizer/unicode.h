// The little of Unicode that tokenizers need, by ICU: normal forms and regular expressions over UTF-8.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gsnake::tokenizer {

// "NFC", "NFD", "NFKC" or "NFKD" of `text`. What is not UTF-8 becomes U+FFFD.
std::string normalized(std::string_view text, std::string_view form);

// Bytes of the character that begins `text`, which is not empty; 1 where it is not UTF-8.
std::size_t character_bytes(std::string_view text);
std::string utf8_of(char32_t character);

// A regular expression, compiled. Safe from several threads at once.
class Pattern {
 public:
  // As Hugging Face's tokenizers write them: \s is all of Unicode's white space. Throws std::invalid_argument with the reason.
  explicit Pattern(const std::string& expression);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  // The matches and what lies between them, in order, none of them empty: together they are `text`. Throws std::runtime_error where
  // matching takes too long.
  [[nodiscard]] std::vector<std::string> isolate(const std::string& text) const { return find(text, true); }
  // The matches alone.
  [[nodiscard]] std::vector<std::string> matches(const std::string& text) const { return find(text, false); }

 private:
  struct Compiled;
  [[nodiscard]] std::vector<std::string> find(const std::string& text, bool with_gaps) const;

  std::unique_ptr<Compiled> compiled_;
};

}  // namespace gsnake::tokenizer
