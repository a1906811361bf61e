#include "config/to_toml.h"

#include <toml++/toml.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace gsnake::config {
namespace {

using Json = nlohmann::ordered_json;

std::string value_of(const Json& json) {
  std::ostringstream text;
  if (json.is_string()) {
    text << toml::value<std::string>(json.get<std::string>());
  } else if (json.is_boolean()) {
    text << toml::value<bool>(json.get<bool>());
  } else if (json.is_number_integer()) {
    text << toml::value<std::int64_t>(json.get<std::int64_t>());
  } else if (json.is_number()) {
    text << toml::value<double>(json.get<double>());
  } else if (json.is_array()) {
    text << "[";
    for (std::size_t i = 0; i < json.size(); ++i) text << (i == 0 ? "" : ", ") << value_of(json[i]);
    text << "]";
  } else {
    text << "{ ";
    bool first = true;
    for (const auto& [key, value] : json.items()) {
      text << (first ? "" : ", ") << key << " = " << value_of(value);
      first = false;
    }
    text << " }";
  }
  return text.str();
}

}  // namespace

std::string to_toml(const Config& config) {
  std::string text;
  const Json sections = Json::parse(config.to_json());
  for (const auto& [section, keys] : sections.items()) {
    text.append(text.empty() ? "[" : "\n[").append(section).append("]\n");
    for (const auto& [key, value] : keys.items()) text.append(key).append(" = ").append(value_of(value)).append("\n");
  }
  return text;
}

}  // namespace gsnake::config
