// Errors of input files, in one shape.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "greedysnake/error.h"

namespace gsnake::hf {

// Throws Error(input): "cannot use PATH: REASON".
[[noreturn]] inline void refuse(const std::string& path, const std::string& reason) {
  throw Error(ErrorKind::input, "cannot use " + path + ": " + reason);
}

// A name from a file, fit for one line of a message.
std::string shown(const std::string& name);

}  // namespace gsnake::hf
