// Takes the keys of a config.json one by one, and refuses those that nobody took.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "hf/json.h"

namespace gsnake::hf {

// A key whose value is null counts as absent. All throw Error(input) that names file, key and value.
class ConfigReader {
 public:
  // `prefix` stands before the keys in messages ("rope_scaling."). Both references are borrowed.
  ConfigReader(const std::string& path, const Json& json, std::string prefix = {}) : path_(path), json_(json), prefix_(std::move(prefix)) {}

  [[nodiscard]] const Json* find(const char* key);                               // nullptr: absent
  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }  // null counts as well
  // In 1..2^31 - 1. Without a value for an absent key, it must be there.
  std::int64_t count(const char* key, std::optional<std::int64_t> absent = std::nullopt);
  double positive(const char* key, std::optional<double> absent = std::nullopt);
  double probability(const char* key, double absent);
  bool boolean(const char* key, bool absent);
  std::string text(const char* key, std::optional<std::string> absent = std::nullopt);
  // The key may be absent or have this value; any other is an option that this build lacks.
  void require(const char* key, const Json& value);
  // The key says nothing of what the model computes.
  void ignore(const char* key) { static_cast<void>(find(key)); }
  // What is left must be null or false.
  void finish() const;

  [[noreturn]] void refuse_key(const char* key, const std::string& why) const;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  const std::string& path_;
  const Json& json_;
  std::string prefix_;
  std::set<std::string> taken_;
};

}  // namespace gsnake::hf
