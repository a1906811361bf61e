// Every key of the config, described once: parsing, refusals, to_json and docs/config.md all follow this table.
#pragma once

#include <toml++/toml.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake::config {

using Json = nlohmann::ordered_json;

struct Key {
  std::string name;     // dotted: "train.steps"
  std::string allowed;  // what a refusal says: "an integer >= 1"
  std::string meaning;  // one line for docs/config.md
  // Takes a TOML value over; false, with the config unchanged, when it has another type or form than `allowed`.
  std::function<bool(Config&, const toml::node&)> assign;
  std::function<bool(const Config&)> in_range;
  // The value as JSON that TOML reads back; null where a value has nothing to show (the parts of a placement that is "auto").
  std::function<Json(const Config&)> read;
  // Keys that hold paths: makes relative ones relative to `base`. Empty for all others.
  std::function<void(Config&, const std::filesystem::path& base)> rebase;
};

// In the order of the config's sections. Built once; safe from any thread.
const std::vector<Key>& keys();

// nullptr: there is no such key.
const Key* find_key(std::string_view name);

// Whether keys lie under this name: "train", "placement.weights".
bool is_table(std::string_view name);

// "" or "; did you mean train.steps?" for a name that is neither a key nor a table.
std::string suggestion(const std::string& name);

// For messages and files. Paths may hold any bytes, JSON is UTF-8: what is not becomes U+FFFD.
std::string to_text(const Json& json);

// The line of docs/config.md that describes the key, its default taken from Config{}.
std::string markdown_row(const Key& key);

}  // namespace gsnake::config
