#include "tokenizer/file.h"

#include "greedysnake/error.h"

namespace gsnake::tokenizer {

// `why` may hold what the file holds: a message is one line all the same.
void refuse(const std::string& path, const std::string& why) {
  std::string line;
  for (const char character : why) {
    if (static_cast<unsigned char>(character) < 0x20) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(character));
    } else {
      line += character;
    }
  }
  throw Error(ErrorKind::input, fmt::format("cannot use the tokenizer {}: {}", path, line));
}

const Json& at(const std::string& path, const Json& part, const char* key) {
  if (!part.is_object() || !part.contains(key))
    refuse(path, fmt::format("a part of it has no \"{}\"; is it a tokenizer.json of Hugging Face's?", key));
  return part[key];
}

std::string text_at(const std::string& path, const Json& part, const char* key) {
  const auto& value = at(path, part, key);
  if (!value.is_string()) refuse(path, fmt::format("\"{}\" is not text", key));
  return value.get<std::string>();
}

std::string text_or_nothing(const Json& part, const char* key) {
  const auto found = part.find(key);
  return found != part.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag(const Json& part, const char* key, bool otherwise) {
  const auto found = part.find(key);
  return found != part.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

std::int64_t id_of(const std::string& path, const Json& value) {
  constexpr std::int64_t kMost = 1 << 30;
  if (!value.is_number_integer() || value < 0 || value > kMost) refuse(path, fmt::format("{} is no token id", value.dump().substr(0, 40)));
  return value.get<std::int64_t>();
}

}  // namespace gsnake::tokenizer
