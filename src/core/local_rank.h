// A rank's number among those of its machine, where a config's text leaves a place for it.
#pragma once

#include <string>
#include <string_view>

namespace gsnake::core {

// `text` with every "{local_rank}" in it replaced.
[[nodiscard]] inline std::string with_local_rank(std::string text, int local_rank) {
  constexpr std::string_view kPlace = "{local_rank}";
  for (std::size_t at = text.find(kPlace); at != std::string::npos; at = text.find(kPlace, at)) text.replace(at, kPlace.size(), std::to_string(local_rank));
  return text;
}

}  // namespace gsnake::core
