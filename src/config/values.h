// TOML values as the types that the config's keys hold; empty when a value has another type or form.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greedysnake/config.h"

namespace gsnake::config {

std::optional<std::int64_t> integer_of(const toml::node& node);
std::optional<double> real_of(const toml::node& node);  // integers count as numbers
std::optional<std::string> text_of(const toml::node& node);
std::optional<std::vector<std::string>> texts_of(const toml::node& node);  // one text is a list of one
std::optional<std::vector<double>> reals_of(const toml::node& node);
std::optional<std::pair<double, double>> integer_pair_of(const toml::node& node);
std::optional<std::pair<double, double>> real_pair_of(const toml::node& node);
std::optional<std::uint64_t> bytes_of(const toml::node& node);  // an integer, or "4 GiB"
std::optional<double> byte_rate_of(const toml::node& node);     // a number, "" for 0, or "200 MB", "200 MB/s"
std::optional<double> seconds_of(const toml::node& node);       // a number, or "60 s", "2 min"
std::optional<double> flop_rate_of(const toml::node& node);     // a number, "" for 0, or "50 GFLOP/s", "50 G"

// Paths, and tables of path, weight (above 0) and mask, of which only the path must be there; none of the texts is empty.
std::optional<std::vector<DataFile>> data_files_of(const toml::node& node);
// A path alone where nothing else is said of a file.
nlohmann::ordered_json json_of_files(const std::vector<DataFile>& files);

bool none_empty(const std::vector<std::string>& texts);

// An empty or absolute path as it is; another made absolute from `base`, without "./" and "x/../".
std::string rebased(const std::string& path, const std::filesystem::path& base);

}  // namespace gsnake::config
