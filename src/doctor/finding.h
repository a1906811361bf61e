// What was found out about this machine, one thing at a time.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gsnake::doctor {

enum class Status : std::uint8_t {
  ok,
  warn,     // works, and worse than it could
  lack,     // is not there, and what needs it does without or is refused
  unknown,  // could not be found out
};

struct Finding {
  std::string id;      // "io_uring": stable, for programs
  Status status = Status::unknown;
  std::string seen{};    // one line
  std::string remedy{};  // one line; empty where nothing is to be done
  nlohmann::ordered_json detail{};  // numbers behind `seen`, if it has some
};

using Findings = std::vector<Finding>;

// "ok", "warn", "lack", "unknown".
const char* name_of(Status status);

// {"findings": [{"id", "status", "seen", "remedy", "detail"}...]}, the last two where there is one.
nlohmann::ordered_json to_json(const Findings& findings);

// A line each, aligned, the remedy on the next one; then how many there are of each status.
std::string to_text(const Findings& findings);

}  // namespace gsnake::doctor
