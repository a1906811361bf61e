// What a rank says of itself in the ranks' store.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace gsnake::dist {

// Whose calls are counted apart: the agreements, then the collective.
inline constexpr int kLinks = 4;

enum class State : std::uint8_t {
  running,
  left,     // as it should
  failed,   // of itself: `message` is its reason
  stopped,  // because of `culprit`: `message` is what it says of that rank
};

struct LinkState {
  std::uint64_t done = 0;  // calls
  bool left = false;       // and there will be no more
  bool operator==(const LinkState&) const = default;
};

struct Record {
  std::uint64_t beat = 0;  // changes as long as the process is alive
  State state = State::running;
  int culprit = -1;
  std::array<LinkState, kLinks> links{};
  std::string message;
  bool operator==(const Record&) const = default;
};

std::string written(const Record& record);
// Of what written() made. Throws std::logic_error for anything else.
Record read_record(std::string_view text);

}  // namespace gsnake::dist
