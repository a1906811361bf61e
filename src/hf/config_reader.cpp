#include "hf/config_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

constexpr std::size_t kMostShown = 60;

std::string text_of(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() > kMostShown ? text.substr(0, kMostShown) + "..." : text;
}

}  // namespace

std::string ConfigReader::named(const char* key) const {
  const auto found = json_.find(key);
  return fmt::format("{}{}{}", prefix_, shown(key), found == json_.end() ? " is absent" : " = " + text_of(*found));
}

void ConfigReader::refuse_key(const char* key, const std::string& why) {
  std::string line = fmt::format("{}: {}", named(key), why);
  if (std::find(findings_.refused.begin(), findings_.refused.end(), line) == findings_.refused.end())
    findings_.refused.push_back(std::move(line));
}

const Json* ConfigReader::find(const char* key) {
  taken_.insert(key);
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

std::int64_t ConfigReader::count(const char* key, std::optional<std::int64_t> absent) {
  const Json* value = find(key);
  if (value == nullptr && absent) return *absent;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const bool valid = value != nullptr && value->is_number_integer() &&
                     (!value->is_number_unsigned() || value->get<std::uint64_t>() <= kMost) && value->get<std::int64_t>() >= 1 &&
                     value->get<std::int64_t>() <= kMost;
  if (valid) return value->get<std::int64_t>();
  refuse_key(key, fmt::format("must be an integer in 1..{}", kMost));
  return absent.value_or(1);
}

std::int64_t ConfigReader::count(const char* key, const char* alias, std::optional<std::int64_t> absent) {
  const Json* value = find(key);
  const Json* other = find(alias);
  if (other == nullptr) return count(key, absent);
  if (value != nullptr && *value != *other) refuse_key(key, fmt::format("{} is another name for it; leave one of them", named(alias)));
  return count(alias);
}

double ConfigReader::positive(const char* key, std::optional<double> absent) {
  const Json* value = find(key);
  if (value == nullptr && absent) return *absent;
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>()) || value->get<double>() <= 0.0) {
    refuse_key(key, "must be a number > 0");
    return absent.value_or(1.0);
  }
  return value->get<double>();
}

double ConfigReader::probability(const char* key, double absent) {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (value->is_number() && value->get<double>() >= 0.0 && value->get<double>() < 1.0) return value->get<double>();
  refuse_key(key, "must be a number >= 0 and < 1");
  return absent;
}

bool ConfigReader::boolean(const char* key, bool absent) {
  const Json* value = find(key);
  if (!has(key)) return absent;
  if (value != nullptr && value->is_boolean()) return value->get<bool>();
  refuse_key(key, "must be true or false");
  return absent;
}

std::string ConfigReader::text(const char* key, std::optional<std::string> absent) {
  const Json* value = find(key);
  if (value == nullptr && absent) return *absent;
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  refuse_key(key, "must be text");
  return absent.value_or("");
}

void ConfigReader::require(const char* key, const Json& value) {
  const Json* found = find(key);
  if (found != nullptr && *found != value) refuse_key(key, "this build has " + text_of(value) + " only");
}

std::optional<ConfigReader> ConfigReader::object(const char* key) {
  const Json* value = find(key);
  if (value == nullptr || (value->is_object() && value->empty())) return std::nullopt;
  if (value->is_object()) return ConfigReader(*value, findings_, fmt::format("{}{}.", prefix_, key));
  if (*value != false) refuse_key(key, "must be an object");
  return std::nullopt;
}

std::vector<std::string> ConfigReader::rest() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_.items()) {
    const bool says_nothing = key.starts_with("_") || value.is_null() || value == false;
    if (!taken_.contains(key) && !says_nothing) keys.push_back(key);
  }
  return keys;
}

void ConfigReader::finish() {
  for (const std::string& key : rest()) findings_.unread.push_back(prefix_ + key);
}

void ConfigReader::refuse_rest() {
  for (const std::string& key : rest())
    refuse_key(key.c_str(), "this build does not know this option; take it out if the model computes the same without it");
}

}  // namespace gsnake::hf
