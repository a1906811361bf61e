// How much of a sweep over seeds and shapes a test does: a part of it always, all of it under scripts/test --long.
#pragma once

#include <cstdlib>
#include <string_view>

namespace gsnake::test {

// scripts/test --long sets GSNAKE_LONG=1.
inline bool is_long_run() {
  const char* wanted = std::getenv("GSNAKE_LONG");
  return wanted != nullptr && std::string_view(wanted) == "1";
}

inline int sweep(int plain, int whole) { return is_long_run() ? whole : plain; }

}  // namespace gsnake::test
