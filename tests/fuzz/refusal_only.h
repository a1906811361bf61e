// What a parser may do with bytes that nobody vouches for: accept them, or refuse them in one line as an input file.
#pragma once

#include <cstdlib>
#include <string>

#include "greedysnake/error.h"

namespace gsnake::fuzz {

template <typename Parse>
int refusal_only(Parse&& parse) {
  try {
    parse();
  } catch (const Error& error) {
    const bool one_line = std::string(error.what()).find('\n') == std::string::npos;
    if (error.kind() != ErrorKind::input || !one_line) std::abort();
  }
  return 0;
}

}  // namespace gsnake::fuzz
