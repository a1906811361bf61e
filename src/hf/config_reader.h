// Takes the keys of a config.json one by one, and notes what is wrong with them and which nobody took.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "hf/json.h"

namespace gsnake::hf {

struct ConfigFindings {
  std::vector<std::string> refused;  // "KEY = VALUE: WHY", all of them: a user edits a file once
  std::vector<std::string> unread;   // keys that were not taken and say something
};

// A key whose value is null counts as absent. What is wrong is noted in the findings; a reader's result is then of no use.
class ConfigReader {
 public:
  // `prefix` stands before the keys in messages ("rope_scaling."). Both references are borrowed.
  ConfigReader(const Json& json, ConfigFindings& findings, std::string prefix = {})
      : json_(json), findings_(findings), prefix_(std::move(prefix)) {}

  [[nodiscard]] const Json* find(const char* key);                               // nullptr: absent
  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }  // null counts as well
  // In 1..2^31 - 1. Without a value for an absent key, it must be there.
  std::int64_t count(const char* key, std::optional<std::int64_t> absent = std::nullopt);
  // Of a key that has a second name: both may be there with one value.
  std::int64_t count(const char* key, const char* alias, std::optional<std::int64_t> absent = std::nullopt);
  double positive(const char* key, std::optional<double> absent = std::nullopt);
  double probability(const char* key, double absent);
  bool boolean(const char* key, bool absent);  // null is refused: releases of transformers differ on it
  std::string text(const char* key, std::optional<std::string> absent = std::nullopt);
  // The key may be absent or have this value; any other is an option that this build lacks.
  void require(const char* key, const Json& value);
  // The key says nothing of what the model computes.
  void ignore(const char* key) { static_cast<void>(find(key)); }
  // An object under `key`, as a reader of its own; nothing where it is absent or empty.
  std::optional<ConfigReader> object(const char* key);
  // Notes what nobody took and is neither null nor false.
  void finish();
  // Refuses what nobody took and is neither null nor false.
  void refuse_rest();

  void refuse_key(const char* key, const std::string& why);
  // "KEY = VALUE", or "KEY is absent".
  [[nodiscard]] std::string named(const char* key) const;

 private:
  [[nodiscard]] std::vector<std::string> rest() const;

  const Json& json_;
  ConfigFindings& findings_;
  std::string prefix_;
  std::set<std::string> taken_;
};

}  // namespace gsnake::hf
