#include "config/values.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "core/bytes.h"
#include "core/durations.h"
#include "core/rates.h"
#include "greedysnake/error.h"

namespace gsnake::config {

namespace {

template <typename T, typename ElementOf>
std::optional<std::vector<T>> list_of(const toml::node& node, ElementOf element_of) {
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<T> values;
  for (const auto& element : *array) {
    auto value = element_of(element);
    if (!value) return std::nullopt;
    values.push_back(static_cast<T>(std::move(*value)));
  }
  return values;
}

std::optional<std::pair<double, double>> as_pair(const std::optional<std::vector<double>>& values) {
  if (!values || values->size() != 2) return std::nullopt;
  return std::pair((*values)[0], (*values)[1]);
}

std::optional<std::uint64_t> parsed_bytes(std::string_view text) {
  try {
    return core::parse_bytes(text);
  } catch (const Error&) {
    return std::nullopt;  // the refusal names the key and what it allows
  }
}

}  // namespace

std::optional<std::int64_t> integer_of(const toml::node& node) { return node.value_exact<std::int64_t>(); }

std::optional<double> real_of(const toml::node& node) {
  if (const auto integer = node.value_exact<std::int64_t>()) return static_cast<double>(*integer);
  return node.value_exact<double>();
}

std::optional<std::string> text_of(const toml::node& node) { return node.value_exact<std::string>(); }

std::optional<std::vector<std::string>> texts_of(const toml::node& node) {
  if (auto text = text_of(node)) return std::vector{std::move(*text)};
  return list_of<std::string>(node, text_of);
}

std::optional<std::vector<double>> reals_of(const toml::node& node) { return list_of<double>(node, real_of); }

std::optional<std::pair<double, double>> integer_pair_of(const toml::node& node) { return as_pair(list_of<double>(node, integer_of)); }

std::optional<std::pair<double, double>> real_pair_of(const toml::node& node) { return as_pair(reals_of(node)); }

std::optional<std::uint64_t> bytes_of(const toml::node& node) {
  if (const auto integer = integer_of(node)) return *integer < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(*integer));
  const auto text = text_of(node);
  return text ? parsed_bytes(*text) : std::nullopt;
}

std::optional<double> byte_rate_of(const toml::node& node) {
  if (const auto number = real_of(node)) return number;
  const auto text = text_of(node);
  if (!text) return std::nullopt;
  return text->empty() ? std::optional(0.0) : core::byte_rate_of(*text);
}

std::optional<double> seconds_of(const toml::node& node) {
  if (const auto number = real_of(node)) return number;
  const auto text = text_of(node);
  return text ? core::seconds_of(*text) : std::nullopt;
}

std::optional<double> flop_rate_of(const toml::node& node) {
  if (const auto number = real_of(node)) return number;
  const auto text = text_of(node);
  if (!text) return std::nullopt;
  return text->empty() ? std::optional(0.0) : core::flop_rate_of(*text);
}

namespace {

std::optional<DataFile> data_file_of(const toml::node& node) {
  if (auto path = text_of(node)) return path->empty() ? std::nullopt : std::optional<DataFile>(std::move(*path));
  const auto* table = node.as_table();
  if (table == nullptr) return std::nullopt;
  DataFile file;
  for (const auto& [key, value] : *table) {
    const auto text = text_of(value);
    const auto number = real_of(value);
    if (key == "path" && text && !text->empty()) {
      file.path = *text;
    } else if (key == "mask" && text && !text->empty()) {
      file.mask = *text;
    } else if (key == "dtype" && text && choice_of<TokenDtype>(*text)) {
      file.dtype = *choice_of<TokenDtype>(*text);
    } else if (key == "weight" && number && std::isfinite(*number) && *number > 0.0) {
      file.weight = *number;
    } else {
      return std::nullopt;
    }
  }
  return file.path.empty() ? std::nullopt : std::optional(std::move(file));
}

}  // namespace

std::optional<std::vector<DataFile>> data_files_of(const toml::node& node) {
  if (!node.is_array()) {
    auto file = data_file_of(node);
    return file ? std::optional(std::vector{std::move(*file)}) : std::nullopt;
  }
  return list_of<DataFile>(node, data_file_of);
}

nlohmann::ordered_json json_of_files(const std::vector<DataFile>& files) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& file : files) {
    nlohmann::ordered_json entry = {{"path", file.path}};
    if (file.weight > 0.0) entry["weight"] = file.weight;
    if (!file.mask.empty()) entry["mask"] = file.mask;
    if (file.dtype != TokenDtype::automatic) entry["dtype"] = word_of(file.dtype);
    list.push_back(entry.size() == 1 ? entry["path"] : entry);
  }
  return list;
}

bool none_empty(const std::vector<std::string>& texts) {
  return std::none_of(texts.begin(), texts.end(), [](const std::string& text) { return text.empty(); });
}

namespace {

// As a shell would have it, were the path not in a file.
std::string with_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') throw Error(ErrorKind::usage, path + ": HOME is not set, so that ~ means nothing; write the whole path");
  return home + path.substr(1);
}

}  // namespace

std::string rebased(const std::string& path, const std::filesystem::path& base) {
  const std::filesystem::path given(with_home(path));
  return path.empty() || given.is_absolute() ? given.string() : std::filesystem::absolute(base / given).lexically_normal().string();
}

}  // namespace gsnake::config
