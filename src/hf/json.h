// JSON from files that nobody vouches for.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gsnake::hf {

using Json = nlohmann::ordered_json;

// Of a file that says what a model or its parts are.
inline constexpr std::uint64_t kMostConfigBytes = 1ULL << 20;

// An object, nested at most 64 deep, no key twice in one object. Throws Error(input) that names `path` and the byte where it stops being
// that; `offset` is where the text begins in the file.
Json parse_object(const std::string& path, std::string_view text, std::uint64_t offset = 0);

// The same for an object of many keys, whose order is lost: it is found in without going through all of them.
nlohmann::json parse_table(const std::string& path, std::string_view text, std::uint64_t offset = 0);

// The whole of a file of at most `most_bytes`. Throws Error(input).
std::string read_text(const std::string& path, std::uint64_t most_bytes);

}  // namespace gsnake::hf
