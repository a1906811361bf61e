// tokenizer.json: what several parts of it need.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gsnake::tokenizer {

using Json = nlohmann::json;

inline constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Error(input): "cannot use the tokenizer PATH: WHY".
[[noreturn]] void refuse(const std::string& path, const std::string& why);

// For a part of the file that is well-formed and not known here.
[[noreturn]] inline void refuse_unknown(const std::string& path, const std::string& part) {
  refuse(path, fmt::format("{} is not known here; turn text into ids with scripts/tokenize, and give them with --prompt-tokens", part));
}

// `part.key`, which has to be there.
const Json& at(const std::string& path, const Json& part, const char* key);
std::string text_at(const std::string& path, const Json& part, const char* key);
// A text that may be missing or null: "".
std::string text_or_nothing(const Json& part, const char* key);
bool flag(const Json& part, const char* key, bool otherwise);
// A token id.
std::int64_t id_of(const std::string& path, const Json& value);

}  // namespace gsnake::tokenizer
