#include "tokenizer/unicode.h"

#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <stdexcept>
#include <utility>

namespace gsnake::tokenizer {

namespace {

constexpr std::int32_t kMostSteps = 20000;  // of thousands of steps of the matcher

const icu::Normalizer2* normalizer_of(std::string_view form, UErrorCode& status) {
  if (form == "NFC") return icu::Normalizer2::getNFCInstance(status);
  if (form == "NFD") return icu::Normalizer2::getNFDInstance(status);
  if (form == "NFKC") return icu::Normalizer2::getNFKCInstance(status);
  return icu::Normalizer2::getNFKDInstance(status);
}

icu::UnicodeString wide(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

// ICU's \s leaves out the vertical tab and the next-line character.
std::string with_white_space(const std::string& expression) {
  std::string result;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    const bool escapes = expression[i] == '\\' && i + 1 < expression.size();
    if (!escapes) {
      result += expression[i];
      continue;
    }
    const char next = expression[++i];
    result += next == 's' ? "\\p{White_Space}" : next == 'S' ? "\\P{White_Space}" : std::string{'\\', next};
  }
  return result;
}

}  // namespace

std::string normalized(std::string_view text, std::string_view form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = normalizer_of(form, status);
  icu::UnicodeString result;
  if (U_SUCCESS(status)) normalizer->normalize(wide(text), result, status);
  if (U_FAILURE(status)) throw std::runtime_error(u_errorName(status));
  std::string utf8;
  return result.toUTF8String(utf8);
}

std::size_t character_bytes(std::string_view text) {
  std::int32_t end = 0;
  UChar32 character = 0;
  U8_NEXT(reinterpret_cast<const std::uint8_t*>(text.data()), end, static_cast<std::int32_t>(text.size()), character);
  return character < 0 ? 1 : static_cast<std::size_t>(end);
}

std::string utf8_of(char32_t character) {
  std::string utf8;
  return icu::UnicodeString(static_cast<UChar32>(character)).toUTF8String(utf8);
}

struct Pattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

Pattern::Pattern(const std::string& expression) : compiled_(std::make_unique<Compiled>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  compiled_->pattern.reset(icu::RegexPattern::compile(wide(with_white_space(expression)), 0, where, status));
  if (U_FAILURE(status)) throw std::invalid_argument(u_errorName(status));
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

std::vector<std::string> Pattern::find(const std::string& text, bool with_gaps) const {
  UErrorCode status = U_ZERO_ERROR;
  const auto whole = wide(text);
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(whole, status));
  if (U_SUCCESS(status)) matcher->setTimeLimit(kMostSteps, status);
  std::vector<std::string> pieces;
  const auto add = [&](std::int32_t begin, std::int32_t end) {
    if (begin >= end) return;
    whole.tempSubStringBetween(begin, end).toUTF8String(pieces.emplace_back());
  };
  std::int32_t done = 0;
  while (U_SUCCESS(status) && matcher->find(status)) {
    if (with_gaps) add(done, matcher->start(status));
    add(matcher->start(status), matcher->end(status));
    done = matcher->end(status);
  }
  if (U_FAILURE(status)) throw std::runtime_error(u_errorName(status));
  if (with_gaps) add(done, whole.length());
  return pieces;
}

}  // namespace gsnake::tokenizer
