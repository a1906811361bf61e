// What `gsnake inspect` says of a frozen base.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gsnake::command {

// With `verify`, after every byte was read and agrees with its hash. Throws as base::Base does.
nlohmann::ordered_json describe_base(const std::string& folder, bool verify);
// Of describe_base(), for people.
std::string base_text(const nlohmann::ordered_json& base);

}  // namespace gsnake::command
