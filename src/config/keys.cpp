#include "config/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/key_table.h"
#include "config/section_keys.h"
#include "core/suggest.h"

namespace gsnake::config {

namespace {

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// The one key elsewhere that ends in the same word ("train.learning_rate" for "optimizer.learning_rate"); empty when there is none or
// several.
std::string same_word_elsewhere(std::string_view name) {
  std::string found;
  for (const auto& key : keys()) {
    if (last_part(key.name) != last_part(name)) continue;
    if (!found.empty()) return {};
    found = key.name;
  }
  return found;
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const auto& key : keys()) {
    const auto section = key.name.substr(0, key.name.find('.'));
    if (std::find(names.begin(), names.end(), section) == names.end()) names.push_back(section);
    names.push_back(key.name);
  }
  return names;
}

// The key's default as it is written in TOML.
std::string default_text(const Key& key) {
  const auto value = key.read(Config{});
  return value.is_null() ? "" : to_text(value);
}

}  // namespace

std::string describe(const std::string& noun, const Range& range) {
  const bool below = std::isfinite(range.low);
  const bool above = std::isfinite(range.high);
  if (below && above && !range.open_low && !range.open_high) return fmt::format("{} in {}..{}", noun, range.low, range.high);
  auto text = noun;
  if (below) text += fmt::format(" {} {}", range.open_low ? ">" : ">=", range.low);
  if (above) text += fmt::format("{} {} {}", below ? " and" : "", range.open_high ? "<" : "<=", range.high);
  return text;
}

const std::vector<Key>& keys() {
  static const std::vector<Key> kKeys = build_keys();
  return kKeys;
}

const Key* find_key(std::string_view name) {
  const auto found = std::find_if(keys().begin(), keys().end(), [name](const Key& key) { return key.name == name; });
  return found == keys().end() ? nullptr : &*found;
}

bool is_table(std::string_view name) {
  const auto prefix = std::string(name) + ".";
  return std::any_of(keys().begin(), keys().end(), [&prefix](const Key& key) { return key.name.starts_with(prefix); });
}

std::string suggestion(const std::string& name) {
  auto meant = same_word_elsewhere(name);
  if (meant.empty()) meant = core::nearest(name, all_names());
  return meant.empty() ? "" : "; did you mean " + meant + "?";
}

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string markdown_row(const Key& key) {
  const auto value = default_text(key);
  return fmt::format("| `{}` | {} | {} | {} |", key.name, value.empty() ? "" : "`" + value + "`", key.allowed, key.meaning);
}

}  // namespace gsnake::config
