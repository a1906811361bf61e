// What the kinds of JSONL share: a line as an object, its ids, and what is wrong with it.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gsnake::data {

// Never returns: throws what names the line. `at`: the byte of the line where it goes wrong.
using BadLine = std::function<void(std::int64_t at, const std::string& why)>;

// A JSON object, none of whose own keys stands there twice. `such_as`: an object as it should be, for messages.
nlohmann::json parse_object(const std::string& line, const char* such_as, const BadLine& bad);

// As int64; true and false are a mask's 1 and 0.
bool is_integer(const nlohmann::json& value);
std::int64_t integer(const nlohmann::json& value);

// A list of numbers, each at least 0 and below `vocab`.
std::vector<std::int64_t> ids_of(const nlohmann::json& list, std::int64_t vocab, const BadLine& bad);

// A key that looks, by its name, as if it said what the loss counts; empty where there is none but of `known`.
std::string lookalike(const nlohmann::json& object, const std::function<bool(const std::string&)>& known);

}  // namespace gsnake::data
