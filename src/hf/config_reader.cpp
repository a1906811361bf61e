#include "hf/config_reader.h"

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

void ConfigReader::refuse_key(const char* key, const std::string& why) const {
  const auto found = json_.find(key);
  refuse(path_, fmt::format("{}{}{}: {}", prefix_, shown(key), found == json_.end() ? " is absent" : " = " + text_of(*found), why));
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
  if (!valid) refuse_key(key, fmt::format("must be an integer in 1..{}", kMost));
  return value->get<std::int64_t>();
}

double ConfigReader::positive(const char* key, std::optional<double> absent) {
  const Json* value = find(key);
  if (value == nullptr && absent) return *absent;
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>()) || value->get<double>() <= 0.0) {
    refuse_key(key, "must be a number > 0");
  }
  return value->get<double>();
}

double ConfigReader::probability(const char* key, double absent) {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_number() || !(value->get<double>() >= 0.0 && value->get<double>() < 1.0)) refuse_key(key, "must be a number >= 0 and < 1");
  return value->get<double>();
}

bool ConfigReader::boolean(const char* key, bool absent) {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) refuse_key(key, "must be true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const char* key, std::optional<std::string> absent) {
  const Json* value = find(key);
  if (value == nullptr && absent) return *absent;
  if (value == nullptr || !value->is_string()) refuse_key(key, "must be text");
  return value->get<std::string>();
}

void ConfigReader::require(const char* key, const Json& value) {
  const Json* found = find(key);
  if (found != nullptr && *found != value) refuse_key(key, "this build has " + text_of(value) + " only");
}

void ConfigReader::finish() const {
  for (const auto& [key, value] : json_.items()) {
    const bool says_nothing = key.starts_with("_") || value.is_null() || value == false;
    if (taken_.contains(key) || says_nothing) continue;
    refuse_key(key.c_str(), "this build does not know this option; take it out if the model computes the same without it");
  }
}

}  // namespace gsnake::hf
