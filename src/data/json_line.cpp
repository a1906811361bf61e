#include "data/json_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <set>

namespace gsnake::data {

using Json = nlohmann::json;

Json parse_object(const std::string& line, const char* such_as, const BadLine& bad) {
  std::set<std::string> keys;
  std::string twice;
  const auto note = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth == 1 && event == Json::parse_event_t::key && !keys.insert(parsed.get<std::string>()).second)
      twice = parsed.get<std::string>();
    return true;
  };
  Json json;
  try {
    json = Json::parse(line, note);
  } catch (const Json::parse_error& error) {
    bad(std::max<std::int64_t>(static_cast<std::int64_t>(error.byte) - 1, 0), "it is not JSON; write one object a line");
  } catch (const Json::exception& error) {  // a number that no double holds
    bad(0, fmt::format("it cannot be taken as JSON: {}", error.what()));
  }
  if (!twice.empty()) bad(0, fmt::format("\"{}\" stands there twice", twice));
  if (!json.is_object()) bad(0, fmt::format("it is no JSON object, such as {}", such_as));
  return json;
}

bool is_integer(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return value.is_number_integer() || value.is_boolean();
}

std::int64_t integer(const Json& value) {
  return value.is_boolean() ? static_cast<std::int64_t>(value.get<bool>()) : value.get<std::int64_t>();
}

std::vector<std::int64_t> ids_of(const Json& list, std::int64_t vocab, const BadLine& bad) {
  std::vector<std::int64_t> ids;
  for (const auto& id : list) {
    if (!id.is_number() || id < 0 || id >= vocab) {
      bad(0, fmt::format(
                 "token id {} (number {} of its line) is not below model.vocab = {}; raise model.vocab or use the data's own tokenizer",
                 id.dump(), ids.size(), vocab));
    }
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

std::string lookalike(const Json& object, const std::function<bool(const std::string&)>& known) {
  for (const auto& [key, value] : object.items()) {
    if (known(key)) continue;
    std::string lower = key;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto has = [&](const char* part) { return lower.find(part) != std::string::npos; };
    if (has("weight") || (value.is_array() && (has("mask") || has("label")))) return key;  // a label that is one number is a class
  }
  return {};
}

}  // namespace gsnake::data
