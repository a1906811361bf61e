// What was measured, as text and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ssd/contest.h"

namespace gsnake::bench {

struct Report {
  std::string command;
  std::string limit;  // what the others are held against, in words
  std::vector<std::string> directories;
  unsigned repeats = 0;
  bool direct = false;
  std::string buffered_reason;
  std::size_t files = 0;
  std::uint64_t bytes = 0;  // moved by each measurement
  struct Part {
    Mode mode = Mode::read;
    std::vector<Result> results;
    std::size_t limit = 0;  // index of the result that the others are held against
  };
  std::vector<Part> parts;
};

// "4.00 MiB x 16, 4 threads".
[[nodiscard]] std::string describe(const Contestant& contestant);
[[nodiscard]] std::string to_text(const Report& report);
[[nodiscard]] nlohmann::json to_json(const Report& report);

}  // namespace gsnake::bench
