// How the keys of one section are described: a method per type of value.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/keys.h"
#include "config/values.h"

namespace gsnake::config {

// Both ends belong to the range unless `open_low` or `open_high` is set.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;
  bool open_high = false;

  [[nodiscard]] bool contains(double value) const {
    return std::isfinite(value) && (open_low ? value > low : value >= low) && (open_high ? value < high : value <= high);
  }
};

inline Range at_least(double low) { return {.low = low}; }
inline Range between(double low, double high) { return {.low = low, .high = high}; }
inline Range above(double low) { return {.low = low, .open_low = true}; }
// Sizes and counts whose products must stay within 64 bits.
inline Range count(double low) { return between(low, std::numeric_limits<std::int32_t>::max()); }

// "an integer" and "a number" with the range behind it.
std::string describe(const std::string& noun, const Range& range);

// `reach` gives the section of a Config, const or not; `prefix` is the section's name with its dot.
template <typename Reach>
class SectionKeys {
 public:
  SectionKeys(std::vector<Key>& keys, std::string prefix, Reach reach) : keys_(keys), prefix_(std::move(prefix)), reach_(reach) {}

  template <typename Section, typename Integer>
  void integer(const char* name, Integer Section::*field, Range range, const char* meaning) {
    const auto from_toml = [](const toml::node& node) {
      const auto value = integer_of(node);
      return value && (std::is_signed_v<Integer> || *value >= 0) ? value : std::nullopt;
    };
    add(name, field, describe("an integer", range), meaning, from_toml, to_json_as_is<Integer>,
        [range](const Integer& value) { return range.contains(static_cast<double>(value)); });
  }

  template <typename Section>
  void real(const char* name, double Section::*field, Range range, const char* meaning) {
    add(name, field, describe("a number", range), meaning, real_of, to_json_as_is<double>,
        [range](double value) { return range.contains(value); });
  }

  // A number, or `word`, which is kept as -1.
  template <typename Section>
  void real_or(const char* name, double Section::*field, Range range, const std::string& word, const char* meaning) {
    add(
        name, field, describe("\"" + word + "\" or a number", range), meaning,
        [word, range](const toml::node& node) {
          if (node.value_exact<std::string>() == word) return std::optional(-1.0);
          const auto value = real_of(node);
          return value && range.contains(*value) ? value : std::nullopt;  // a written -1 is no word
        },
        [word](double value) { return value == -1.0 ? Json(word) : Json(value); },
        [range](double value) { return value == -1.0 || range.contains(value); });
  }

  // An integer, or `word`, which is kept as -1.
  template <typename Section>
  void integer_or(const char* name, std::int64_t Section::*field, Range range, const std::string& word, const char* meaning) {
    add(
        name, field, describe("\"" + word + "\" or an integer", range), meaning,
        [word, range](const toml::node& node) {
          if (node.value_exact<std::string>() == word) return std::optional(std::int64_t{-1});
          const auto value = integer_of(node);
          return value && range.contains(static_cast<double>(*value)) ? value : std::nullopt;
        },
        [word](std::int64_t value) { return value == -1 ? Json(word) : Json(value); },
        [range](std::int64_t value) { return value == -1 || range.contains(static_cast<double>(value)); });
  }

  template <typename Section>
  void boolean(const char* name, bool Section::*field, const char* meaning) {
    add(
        name, field, "true or false", meaning, [](const toml::node& node) { return node.value_exact<bool>(); }, to_json_as_is<bool>,
        [](bool) { return true; });
  }

  template <typename Section, typename Choice>
  void choice(const char* name, Choice Section::*field, const char* meaning) {
    const auto from_toml = [](const toml::node& node) {
      const auto word = text_of(node);
      return word ? choice_of<Choice>(*word) : std::nullopt;
    };
    add(name, field, "one of " + listed_words<Choice>(), meaning, from_toml, [](Choice choice) { return Json(word_of(choice)); }, is_valid<Choice>);
  }

  template <typename Section>
  void text(const char* name, std::string Section::*field, const char* allowed, bool (*valid)(const std::string&), const char* meaning) {
    add(name, field, allowed, meaning, text_of, to_json_as_is<std::string>, valid);
  }

  // A path; `word` is a value that is not a path and stays as it is ("" for none).
  template <typename Section>
  void path(const char* name, std::string Section::*field, const std::string& word, const char* allowed, bool may_be_empty,
            const char* meaning) {
    add(name, field, allowed, meaning, text_of, to_json_as_is<std::string>,
        [may_be_empty](const std::string& value) { return may_be_empty || !value.empty(); });
    keys_.back().rebase = [get = member(field), word](Config& config, const std::filesystem::path& base) {
      if (get(config) != word) get(config) = rebased(get(config), base);
    };
  }

  template <typename Section>
  void texts(const char* name, std::vector<std::string> Section::*field, const char* meaning) {
    add(name, field, "a list of names, none of them empty", meaning, texts_of, to_json_as_is<std::vector<std::string>>, none_empty);
  }

  template <typename Section>
  void paths(const char* name, std::vector<std::string> Section::*field, const char* meaning) {
    add(name, field, "a list of paths, none of them empty", meaning, texts_of, to_json_as_is<std::vector<std::string>>, none_empty);
    keys_.back().rebase = [get = member(field)](Config& config, const std::filesystem::path& base) {
      for (auto& path : get(config)) path = rebased(path, base);
    };
  }

  template <typename Section>
  void files(const char* name, std::vector<DataFile> Section::*field, const char* meaning) {
    add(name, field, "a list of paths, none of them empty, or of tables such as { path = \"a.bin\", weight = 0.7, mask = \"a.mask\", dtype = \"uint32\" }",
        meaning, data_files_of, json_of_files, [](const std::vector<DataFile>&) { return true; });
    keys_.back().rebase = [get = member(field)](Config& config, const std::filesystem::path& base) {
      for (auto& file : get(config)) {
        file.path = rebased(file.path, base);
        file.mask = rebased(file.mask, base);
      }
    };
  }

  template <typename Section>
  void reals(const char* name, std::vector<double> Section::*field, Range range, const char* meaning) {
    add(name, field, "a list, each " + describe("a number", range), meaning, reals_of, to_json_as_is<std::vector<double>>,
        [range](const std::vector<double>& values) {
          return std::all_of(values.begin(), values.end(), [range](double value) { return range.contains(value); });
        });
  }

  // A size, or "auto", which is kept as kAutomaticBytes.
  template <typename Section>
  void bytes_or_auto(const char* name, std::uint64_t Section::*field, const char* meaning) {
    add(
        name, field, "\"auto\" or a size above 0: bytes, or text with a unit such as \"4 GiB\"", meaning,
        [](const toml::node& node) {
          if (node.value_exact<std::string>() == "auto") return std::optional(kAutomaticBytes);
          const auto bytes = bytes_of(node);
          return bytes == kAutomaticBytes ? std::nullopt : bytes;
        },
        [](std::uint64_t value) { return value == kAutomaticBytes ? Json("auto") : Json(value); },
        [](std::uint64_t value) { return value == kAutomaticBytes || (value > 0 && value <= std::numeric_limits<std::int64_t>::max()); });
  }

  template <typename Section>
  void rate(const char* name, double Section::*field, bool flops, const char* meaning) {
    const auto* allowed = flops ? "\"\" (no cap), FLOP/s as a number, or text with a unit such as \"50 GFLOP/s\""
                                : "\"\" (no cap), bytes a second as a number, or text with a unit such as \"200 MB/s\"";
    add(name, field, allowed, meaning, flops ? flop_rate_of : byte_rate_of, to_json_as_is<double>,
        [](double value) { return std::isfinite(value) && value >= 0.0; });
  }

  // In seconds.
  template <typename Section>
  void duration(const char* name, double Section::*field, Range range, const char* meaning) {
    add(name, field, describe("a number", range) + " of seconds, or text with a unit such as \"60 s\" or \"2 min\"", meaning, seconds_of, to_json_as_is<double>,
        [range](double value) { return range.contains(value); });
  }

  // A list of exactly two numbers, kept in two fields.
  template <typename Section, typename Number>
  void pair(const char* name, Number Section::*first, Number Section::*second, Range range, bool ascending, const char* meaning) {
    const auto noun = std::is_integral_v<Number> ? "an integer" : "a number";
    Key key{prefix_ + name,
            "a list of two" + std::string(ascending ? ", the second not below the first" : "") + ", each " + describe(noun, range),
            meaning,
            {},
            {},
            {},
            {}};
    const auto get_first = member(first);
    const auto get_second = member(second);
    key.assign = [=](Config& config, const toml::node& node) {
      const auto values = std::is_integral_v<Number> ? integer_pair_of(node) : real_pair_of(node);
      if (!values) return false;
      get_first(config) = static_cast<Number>(values->first);
      get_second(config) = static_cast<Number>(values->second);
      return true;
    };
    key.in_range = [=](const Config& config) {
      const auto a = static_cast<double>(get_first(config));
      const auto b = static_cast<double>(get_second(config));
      return range.contains(a) && range.contains(b) && (!ascending || a <= b);
    };
    key.read = [=](const Config& config) { return Json::array({get_first(config), get_second(config)}); };
    keys_.push_back(std::move(key));
  }

  // Three keys: NAME (a table or "auto"), NAME.device and NAME.host. A table replaces the whole value: a tier it leaves out gets 0.
  template <typename Section>
  void tiers(const char* name, TierFractions Section::*field, bool has_device, const char* meaning) {
    const auto get = automatic_or_table(name, field, "\"auto\", or a table such as { host = 0.5 }", meaning);
    if (has_device) tier(std::string(name) + ".device", get, &TierFractions::device, "its fraction in device memory");
    tier(std::string(name) + ".host", get, &TierFractions::host, "its fraction in host memory; the rest is on SSD");
  }

  // Two keys: NAME (a table or "auto") and NAME.device, which has a meaning of its own.
  template <typename Section, typename Share>
  void device_share(const char* name, Share Section::*field, const char* meaning, const char* of_device) {
    tier(std::string(name) + ".device", automatic_or_table(name, field, "\"auto\", or a table such as { device = 0.5 }", meaning), &Share::device, of_device);
  }

 private:
  // A key whose parts are keys of their own: they are checked there, and together by Config::validate.
  template <typename Section, typename Parts>
  auto automatic_or_table(const char* name, Parts Section::*field, const char* allowed, const char* meaning) {
    const auto get = member(field);
    Key whole{prefix_ + name, allowed, meaning, {}, {}, {}, {}};
    whole.assign = [get](Config& config, const toml::node& node) {
      const bool automatic = node.value_exact<std::string>() == "auto";
      if (!automatic && !node.is_table()) return false;
      get(config) = Parts();
      get(config).automatic = automatic;
      return true;
    };
    whole.in_range = [](const Config&) { return true; };
    whole.read = [get](const Config& config) { return get(config).automatic ? Json("auto") : Json(); };
    keys_.push_back(std::move(whole));
    return get;
  }

  template <typename T>
  static Json to_json_as_is(const T& value) {
    return Json(value);
  }

  // Reaches a field of a Config, const or not.
  template <typename Section, typename T>
  auto member(T Section::*field) const {
    return [ reach = reach_, field ](auto& config) -> auto& { return reach(config).*field; };
  }

  template <typename Section, typename T, typename FromToml, typename ToJson, typename Valid>
  void add(const char* name, T Section::*field, std::string allowed, const char* meaning, FromToml from_toml, ToJson to_json, Valid valid) {
    Key key{prefix_ + name, std::move(allowed), meaning, {}, {}, {}, {}};
    const auto get = member(field);
    key.assign = [=](Config& config, const toml::node& node) {
      const auto value = from_toml(node);
      if (!value) return false;
      get(config) = static_cast<T>(*value);
      return true;
    };
    key.in_range = [=](const Config& config) { return valid(get(config)); };
    key.read = [=](const Config& config) { return to_json(get(config)); };
    keys_.push_back(std::move(key));
  }

  template <typename Get, typename Parts>
  void tier(const std::string& name, Get get, double Parts::*part, const char* meaning) {
    Key key{prefix_ + name, describe("a number", between(0, 1)), meaning, {}, {}, {}, {}};
    key.assign = [=](Config& config, const toml::node& node) {
      const auto value = real_of(node);
      if (!value) return false;
      get(config).*part = *value;
      get(config).automatic = false;
      return true;
    };
    key.in_range = [=](const Config& config) { return between(0, 1).contains(get(config).*part); };
    key.read = [=](const Config& config) { return get(config).automatic ? Json() : Json(get(config).*part); };
    keys_.push_back(std::move(key));
  }

  std::vector<Key>& keys_;
  std::string prefix_;
  Reach reach_;
};

}  // namespace gsnake::config
