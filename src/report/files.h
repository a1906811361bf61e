// Files that a report is made of, and those that are written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gsnake::report {

using Json = nlohmann::ordered_json;

// Throws Error(input): "cannot use FILE: REASON; REMEDY".
[[noreturn]] void refuse(const std::string& file, const std::string& reason, const std::string& remedy);

// The whole file. Throws Error(input) where it can't be read.
[[nodiscard]] std::string read_text(const std::string& path);

// Nothing (discarded) where `text` is not JSON or nests more than 64 deep.
[[nodiscard]] Json parse(std::string_view text);

// A JSON object from a file. Throws Error(input) that names it; `remedy` says which file would do.
[[nodiscard]] Json read_object(const std::string& path, const std::string& remedy);

}  // namespace gsnake::report
